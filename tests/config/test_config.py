"""Configurations: values are read as written, and mistakes are refused by name."""

from pathlib import Path

import pytest
import yaml

from seglib.config import Config, ConfigError, config_to_dict, config_to_yaml, load_config, parse_config, upgrade_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda f: f.stem)
def test_the_released_configurations_are_valid_and_survive_a_round_trip(file):
    loaded = load_config(file)
    assert loaded.output_dir == f"runs/{file.stem}" or file.stem == "default"
    assert parse_config(yaml.safe_dump(config_to_dict(loaded))) == loaded


@pytest.mark.parametrize(
    "values, list_name",
    [
        ({"run": "runs/a", "data": {"name": "horses", "list_name": "default"}}, "seed27"),
        ({"run": "runs/a", "data": {"name": "horses", "list_name": "first278"}}, "first278"),
        ({"run": "runs/a", "data": {"name": "humans", "list_name": "default"}}, "default"),
        ({"output_dir": "runs/a", "data": {"name": "horses", "list_name": "default"}}, "default"),
    ],
)
def test_files_of_earlier_versions_keep_their_list_of_the_horses(values, list_name):
    upgraded = upgrade_config(values)
    assert upgraded == {"output_dir": "runs/a", "data": {"name": values["data"]["name"], "list_name": list_name}}
    assert upgrade_config({"run": "runs/a"}) == {"output_dir": "runs/a"}


def test_defaults_without_a_file():
    assert load_config() == Config()


def test_the_command_line_overrides_the_file(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("epochs: 7\noptimizer: {lr: 0.5}\nmodel: {options: {width: 8, bilinear: true}}\n")
    config = load_config(file, ["--optimizer.lr=1e-3", "--data.name=camvid", "--augment.crop_sizes=[32,64]"])
    assert config.epochs == 7 and config.optimizer.lr == 1e-3 and config.data.name == "camvid"
    assert config.augment.crop_sizes == [32, 64]
    assert config.model.options == {"width": 8, "bilinear": True}
    assert config.optimizer.name == "adamw"
    assert load_config(None, ["--model.options.width=24"]).model.options == {"width": 24}


@pytest.mark.parametrize(
    "text, named",
    [
        ("epocs: 3", "epocs"),
        ("optimizer: {rate: 3}", "rate"),
        ("epochs: many", "epochs"),
        ("optimizer: {lr: fast}", "optimizer.lr"),
        ("optimizer: {name: rmsprop}", "optimizer.name"),
        ("epochs: 0", "epochs is 0, but must be at least 1"),
        ("batch_size: -1", "batch_size"),
        ("schedule: {power: -3}", "schedule.power is -3, but must be above 0"),
        ("schedule: {power: 0}", "schedule.power is 0, but must be above 0"),
        ("accumulate: 2", "accumulate is not an option; it is called accumulation_steps now"),
        ("augment: {grey: 0.1}", "augment.grey is not an option; it is called augment.grayscale now"),
        ("sharding: none", "sharding is not an option; it no longer exists"),
        ("ema: 1.0", "ema is 1.0, but must be at least 0 and below 1"),
        ("augment: {flip: 2}", "augment.flip is 2"),
        ("augment: {rotate: null}", "augment.rotate is null"),
        ("optimizer: [1, 2]", "optimizer"),
        ("inference: {scales: [200]}", "inference.scales"),
        ("data: {options: {root: x}}", "data.options"),
        ("loss: null", "loss is not an option; it is a group of options"),
        ("augment: {crop_sizes: []}", "augment.crop_sizes"),
        ("augment: {crop_area: [0.9, 0.1]}", "augment.crop_area"),
        ("inference: {scales: []}", "inference.scales"),
        ("epochs: [1", "while parsing"),
        ("just a sentence", "just a sentence"),
    ],
)
def test_mistakes_in_a_file_are_refused_by_name(tmp_path, text, named):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named) as excinfo:
        load_config(file)
    assert "\n" not in str(excinfo.value)


def test_mistakes_on_the_command_line_are_refused_by_name():
    for option, named in (
        ("--epocs=3", "epocs"),
        ("--optimizer.lr=fast", "optimizer.lr"),
        ("--epochs=0", "epochs is 0"),
    ):
        with pytest.raises(ConfigError, match=named):
            load_config(None, [option])


@pytest.mark.parametrize(
    "option, named",
    [
        ("--epoch=3", "--epoch is not an option; did you mean --epochs"),
        ("--run=mine", "--run is not an option; it is called --output_dir now"),
        ("--data=own", "--data is not an option; it is a group of options: --data.name"),
        ("--xyzzy=1", "--xyzzy is not an option; `seglib train --help` lists them"),
        ("--loss.trems={ce: 1}", "did you mean --loss.terms"),
        ("--output_dir=", "output_dir is empty, but must be the name of a folder"),
    ],
)
def test_unknown_options_are_refused_with_a_suggestion(option, named):
    with pytest.raises(ConfigError) as excinfo:
        load_config(None, [option])
    assert named in str(excinfo.value)


def test_options_below_a_dictionary_are_set_one_by_one():
    changed = load_config(None, ["--loss.terms.ce=2", "--model.options.width=8", "--data.options.length=4"])
    assert changed.loss.terms["ce"] == 2 and changed.model.options == {"width": 8}
    assert changed.data.options["length"] == 4
    changed = load_config(None, ["--epochs", "3", "--data={name: humans}", "--augment.crop_sizes+=64"])
    assert changed.epochs == 3 and changed.data.name == "humans" and changed.augment.crop_sizes[-1] == 64


@pytest.mark.parametrize("text", ["epochs: 1\nseed: 2\nepochs: 3\n", "data:\n  name: a\n  name: b\n"])
def test_a_duplicate_key_is_refused(text):
    with pytest.raises(ConfigError, match="line 3: '(epochs|name)' occurs twice; keep one"):
        parse_config(text)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="absent.yaml: no such configuration file"):
        load_config(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match="binary.yaml: the configuration cannot be read"):
        load_config(tmp_path / "binary.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_the_commented_configuration_is_the_one_in_configs_and_reads_back():
    file = Path(__file__).parents[2] / "configs" / "default.yaml"
    assert file.read_text(encoding="utf-8") == config_to_yaml(Config())
    changed = load_config(None, ["--epochs=3", "--augment.crop_sizes=[64,96]", "--loss.class_weights=[1,2]"])
    assert parse_config(config_to_yaml(changed)) == changed


def test_abbreviated_options_are_refused():
    with pytest.raises(ConfigError, match="epoch"):
        load_config(None, ["--epoch=3"])


@pytest.mark.parametrize(
    ("text", "overrides", "rate"),
    [
        ("", ["--model.init_from=a.safetensors"], 2e-4),
        ("optimizer: {lr: 0.01}", ["--model.init_from=a.safetensors"], 1e-3),
        ("model: {init_from: a.safetensors}", [], 2e-4),
        ("{model: {init_from: a.safetensors}, optimizer: {lr: 0.01}}", [], 0.01),
        ("{model: {init_from: a.safetensors}, optimizer: {lr: 0.01}}", ["--model.init_from=b.safetensors"], 1e-3),
        ("optimizer: {lr: 0.01}", ["--model.init_from=a.safetensors", "--optimizer.lr=0.005"], 0.005),
        ("", ["--model.init_from=imagenet"], 2e-3),
        ("", ["--model.init_from=unet-horses"], 2e-3),
    ],
)
def test_the_learning_rate_is_lowered_for_trained_weights_unless_it_is_given(text, overrides, rate, capsys):
    config = parse_config(text, overrides)
    assert config.optimizer.lr == pytest.approx(rate)
    message = capsys.readouterr().err
    assert (f"optimizer.lr is {rate:g}, a tenth of" in message) == (rate in (2e-4, 1e-3)) and message.count("\n") <= 1
    assert parse_config(config_to_dict(config)) == config and not capsys.readouterr().err
