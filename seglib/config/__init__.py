"""The options of a training run, read from YAML and the command line.

config = load_config("configs/horses-laptop.yaml", ["--epochs=3", "--optimizer.lr=1e-3"])
"""

from .loading import (
    ConfigError,
    build_parser,
    config_to_dict,
    config_to_yaml,
    load_config,
    parse_config,
    suggest_option,
)
from .options import (
    AugmentConfig,
    Config,
    DataConfig,
    DistillationConfig,
    InferenceConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
)
from .renamed import upgrade_config

__all__ = [
    "AugmentConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "DistillationConfig",
    "InferenceConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "build_parser",
    "config_to_dict",
    "config_to_yaml",
    "load_config",
    "parse_config",
    "suggest_option",
    "upgrade_config",
]
