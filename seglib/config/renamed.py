"""Option names from before version 0.2, for weights files and run folders that were written with them."""

from collections.abc import Mapping

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
REMOVED = {"sharding"}  # it saved memory and changed no result


def upgrade_config(values: Mapping, prefix: str = "") -> dict:
    """Return the nested configuration `values` with today's option names."""
    upgraded = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if path not in REMOVED:
            new_name = RENAMED.get(path, path).rpartition(".")[2]
            upgraded[new_name] = upgrade_config(value, f"{path}.") if isinstance(value, Mapping) else value
    return upgraded
