"""Run a search: Optuna proposes options, `seglib.training` trains with them, and Optuna's study stores the scores."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np
import torch
import yaml

from seglib import data, files, losses, models, training
from seglib.config import PLACES, Config, config_to_dict, flatten, upgrade_config
from seglib.errors import import_optional
from seglib.files import read_yaml

from .result import STATES, summarize, write
from .space import Space, TuneError, check, find_start, to_yaml_line, with_options

STARTUP = 6  # random trials before Optuna's sampler models the scores


def search(
    config: Config, space: Space, trials: int, folder: Path | str, resume: bool = False, progress: bool = True
) -> dict:
    """Train until the search in `folder` has `trials` trials, and write the results to this folder.

    If `config` is within `space`, it is trial 0, with its values rounded to three significant digits.  A trial is
    pruned if its score is below the median of earlier trials, and recorded as failed if its training fails.
    The proposed options depend only on `config.seed` and on earlier trials.  Ctrl-C writes a checkpoint and raises
    KeyboardInterrupt.  Checkpoints of finished trials are deleted, but their best weights are kept.

    Args:
        config: The configuration whose options are varied.
        space: The options and the values to try.
        trials: The total number of trials, including the trials of a resumed search.
        folder: The folder of the search.
        resume: Whether to continue the search in `folder`, including an interrupted trial.
        progress: Whether to print the options and the result of every trial, and the progress of its training.

    Returns:
        The dictionary that `summarize` returns.

    Raises:
        TuneError: If Optuna is not installed, `folder` already has a search or has no search to resume, an option of
            the space is unknown, or all trials failed.
        DataError: If the data set cannot be loaded.
    """
    optuna = import_optional("optuna", TuneError, "a search", "'seglib[tune]'")
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # `table` shows the same information
    folder = Path(folder)
    if trials < 1:
        raise TuneError(f"--trials is {trials}, but must be at least 1.")
    check(config, space)
    if resume and not (folder / "study.db").exists():
        raise TuneError(f"{folder}: there is no search to resume; start without --resume.")
    if not resume and (folder / "study.db").exists():
        raise TuneError(f"{folder}: already has a search; add --resume to continue it, or choose another --out.")
    for split in () if resume else (config.data.train_split, config.data.val_split):
        # Load the data before the folder is created, so that a mistyped name leaves no folder.
        data.load(config.data.name, split, config.data.root, config.data.list_name, **config.data.options)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with files.lock_folder(folder), _open_study(optuna, folder, config.epochs // 4) as study:
            _check_same_search(config, space, folder)
            if not study.trials and (start := find_start(config, space)):
                study.enqueue_trial(start)
            while trial := _next_trial(optuna, study, trials, config.seed):
                _run_trial(optuna, study, trial, config, space, folder, progress)
            summary = summarize(optuna, study, config, space, folder)
    except filelock.Timeout:
        raise TuneError(f"{folder}: used by another search; wait for it, or choose another --out.") from None
    if not any(trial["state"] == "complete" for trial in summary["trials"]):
        reasons = [trial["reason"] for trial in summary["trials"] if trial["reason"]]
        raise TuneError(f"{folder}: no trial was completed; the last reason: {reasons[-1]}")
    write(summary, config, space, folder)
    return summary


@contextmanager
def _open_study(optuna, folder: Path, warmup: int) -> Iterator:
    """Open or create the study in a folder, and raise TuneError if its file cannot be read or written.

    Trials are not pruned in their first `warmup` epochs.
    """
    from sqlalchemy.exc import SQLAlchemyError  # a dependency of Optuna

    file, storage = folder / "study.db", None
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{file.resolve()}")
        pruner = optuna.pruners.MedianPruner(STARTUP - 1, warmup)
        options = {"study_name": "search", "direction": "maximize", "load_if_exists": True}
        yield optuna.create_study(storage=storage, pruner=pruner, **options)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:160]
        advice = "free disk space, or choose another --out"
        raise TuneError(f"{file}: the study cannot be read or written ({reason}); {advice}.") from None
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _check_same_search(config: Config, space: Space, folder: Path) -> None:
    """Write the configuration and the space to search.yaml. Raise TuneError if they differ from an existing file."""
    file = folder / "search.yaml"
    search = {"config": config_to_dict(config), "space": {path: entry.to_dict() for path, entry in space.items()}}
    if not file.exists():
        files.write_text(file, yaml.safe_dump(search, sort_keys=False))
        return
    try:
        before = read_yaml(file.read_text(encoding="utf-8"))
        before = flatten({**before, "config": upgrade_config(before["config"])})
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        raise TuneError(f"{file}: cannot be read, so this search cannot be resumed; choose another --out.") from None
    now = flatten(search)
    for option in sorted((before.keys() | now.keys()) - {f"config.{name}" for name in PLACES}):
        if before.get(option) != now.get(option):
            change = f"{option.removeprefix('config.')} was {before.get(option)} and is now {now.get(option)}"
            raise TuneError(f"{file}: {change}; resume with the original value, or choose another --out.")


def _next_trial(optuna, study, trials: int, seed: int):
    """Return an interrupted trial or a new trial, or None if the search has enough trials."""
    frozen = study.get_trials(deepcopy=False)
    running = [trial for trial in frozen if trial.state == optuna.trial.TrialState.RUNNING]
    ended = sum(trial.state.is_finished() for trial in frozen)
    if ended >= trials:
        return None
    # Each trial has its own seed, so that an interrupted search proposes the same trials.
    trial_seed = int(np.random.SeedSequence([seed, ended]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=trial_seed, n_startup_trials=STARTUP)
    return optuna.trial.Trial(study, running[0]._trial_id) if running else study.ask()


def _run_trial(optuna, study, trial, config: Config, space: Space, folder: Path, progress: bool) -> None:
    """Train or resume one trial, and record the result in the study."""
    options = {path: entry.suggest(trial, path) for path, entry in space.items()}
    trial_folder = folder / f"trial-{trial.number:03d}"
    known = set(study.trials[trial.number].intermediate_values)

    def on_validated(entry: dict) -> None:
        if entry["epoch"] not in known:  # known if the process died before the checkpoint of this epoch
            trial.report(entry["val"][config.metric], entry["epoch"])
        if entry["epoch"] + 1 < trial_config.epochs and trial.should_prune():
            raise optuna.TrialPruned

    if progress:
        values = ", ".join(f"{path} {to_yaml_line(value)}" for path, value in options.items())
        print(f"trial {trial.number}: {values}", flush=True)
    try:
        trial_config = with_options(config, {**options, "output_dir": str(trial_folder)}, f"trial {trial.number}")
        resume = (trial_folder / "checkpoint.pt").exists()
        history = training.fit(trial_config, resume=resume, progress=progress, on_validated=on_validated)
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except (training.TrainingError, losses.LossError, models.ModelError) as error:
        trial.set_user_attr("reason", " ".join(str(error).split())[:500])
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        scores = [entry["val"][config.metric] for entry in history if "val" in entry]
        study.tell(trial, scores[-1] if trial_config.selection == "last" else max(scores))
    (trial_folder / "checkpoint.pt").unlink(missing_ok=True)  # saves disk space
    if torch.cuda.is_available():
        gc.collect()  # frees the GPU memory of the last network
    if progress:
        ended = study.trials[trial.number]
        result = f"{config.metric} {ended.value:.4f}" if ended.value is not None else ended.user_attrs.get("reason", "")
        print(f"trial {trial.number}: {STATES[ended.state.name]} {result}", flush=True)
