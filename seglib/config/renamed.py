"""Option names and a split list from before version 0.2, for files that were written with them."""

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


def upgrade_config(values: Mapping) -> dict:
    """Return the nested configuration `values` with today's option names and today's name of its split list."""
    upgraded = _upgrade_names(values, "")
    data = upgraded.get("data")
    before_0_2 = "run" in values  # now output_dir; the default list of the horses was the one now called seed27
    if before_0_2 and isinstance(data, dict) and (data.get("name"), data.get("list_name")) == ("horses", "default"):
        upgraded["data"] = data | {"list_name": "seed27"}
    return upgraded


def _upgrade_names(values: Mapping, prefix: str) -> dict:
    upgraded = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if path not in REMOVED:
            new_name = RENAMED.get(path, path).rpartition(".")[2]
            upgraded[new_name] = _upgrade_names(value, f"{path}.") if isinstance(value, Mapping) else value
    return upgraded
