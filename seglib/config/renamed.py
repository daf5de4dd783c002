"""Options that had other names before version 0.2, for weights files and run folders that were written with them."""

RENAMED = {
    "run": "output_dir",
    "accumulate": "accumulation_steps",
    "workers": "num_workers",
    "evaluate_every": "eval_interval",
    "trace_steps": "profile_steps",
    "augment.color": "augment.color_jitter",
    "augment.grey": "augment.grayscale",
    "model.start": "model.init_from",
    "optimizer.clip_norm": "optimizer.max_grad_norm",
    "loss.options.ohem.kept": "loss.options.ohem.min_kept",
}
REMOVED = {"sharding": "none"}  # option -> the value that today's code always uses


def upgrade_config(values: dict) -> dict:
    """Return the nested configuration `values` with today's option names.

    Raises:
        ValueError: If an option that no longer exists had another value than the one used today.
    """
    return _upgraded(values, "")


def _upgraded(values: dict, prefix: str) -> dict:
    upgraded = {}
    for name, value in values.items():
        path = prefix + name
        if path in REMOVED:
            if value != REMOVED[path]:
                raise ValueError(f"{path} is '{value}', which this version no longer supports")
            continue
        new_name = RENAMED.get(path, path).rpartition(".")[2]
        upgraded[new_name] = _upgraded(value, f"{path}.") if isinstance(value, dict) else value
    return upgraded
