"""What a training run can be told, and how it is read from YAML and the command line.

    config = load("configs/horses-laptop.yaml", ["--epochs=3", "--optimizer.lr=1e-3"])

Nothing in the package reads a configuration by itself: whoever runs things passes it in.
"""

from .names import remedy
from .options import (
    AugmentConfig,
    Config,
    DataConfig,
    InferenceConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
)
from .plain import read_yaml
from .reading import ConfigError, commented, load, parse, parser, to_dict, validate
from .renamed import upgrade_config

__all__ = [
    "AugmentConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "InferenceConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "commented",
    "load",
    "parse",
    "parser",
    "read_yaml",
    "remedy",
    "to_dict",
    "upgrade_config",
    "validate",
]
