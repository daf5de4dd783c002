"""The doctor: it finds what is missing or damaged, says what to do, and calls nothing else a fault."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from PIL import Image

from seglib import doctor, weights
from seglib.__main__ import main
from seglib.doctor import contents, machine, packages

REPOSITORY = Path(__file__).parents[1]


def found(findings, subject):
    return [finding for finding in findings if finding.subject == subject]


@pytest.fixture
def without(monkeypatch):
    """Makes packages look as if they were not installed, or installed in another version."""
    asked = metadata.version

    def pretend(**versions):
        def version(name):
            key = name.replace("-", "_")
            if key not in versions:
                return asked(name)
            if versions[key] is None:
                raise metadata.PackageNotFoundError(name)
            return versions[key]

        monkeypatch.setattr(metadata, "version", version)

    return pretend


def test_this_environment_has_what_the_tests_need(tmp_path):
    findings = list(doctor.examine(tmp_path, tmp_path / "runs"))
    assert {"python", "packages", "torch", "cpu", "processor", "memory", "runs"} <= {f.subject for f in findings}
    assert not found(findings, "torch")[0].remedy and "computes in" in found(findings, "cpu")[0].text
    for subject in ("packages", "torch", "cpu", "memory", "runs"):
        assert found(findings, subject)[0].level != doctor.FAULT
    assert list(tmp_path.iterdir()) == [], "it changes nothing"
    assert all(finding.remedy for finding in findings if finding.level == doctor.NOTE)


@pytest.mark.parametrize(
    "versions, subject, level, said, remedy",
    [
        ({"tqdm": None}, "tqdm", "fault", "not installed; needed", "python -m pip install 'tqdm>="),
        ({"torch": "2.1.0+cpu"}, "torch", "fault", "is 2.1.0+cpu, but >=2.13 is needed", "pip install 'torch>=2.13'"),
        ({"albumentations": "3.0.1"}, "albumentations", "fault", "is 3.0.1, but >=2.0.8,<3", "'albumentations>=2"),
        ({"nbclient": None}, "nbclient", "note", "needed for the notebooks", "pip install 'nbclient"),
        ({"ruff": "0.1"}, "ruff", "note", "needed for the tests", "pip install 'ruff"),
    ],
)
def test_a_missing_or_old_package_is_named_with_the_command(without, versions, subject, level, said, remedy):
    without(**versions)
    (finding,) = found(packages.check_packages(), subject)
    assert finding.level == level and said in finding.text and remedy in finding.remedy


def test_another_build_of_opencv_does_as_well_but_not_two(without):
    without(opencv_python_headless=None, opencv_python="4.12.0.1")
    assert not found(packages.check_packages(), "opencv-python-headless")
    without(opencv_python_headless="4.12.0.1", opencv_python="4.12.0.1")
    (finding,) = found(packages.check_packages(), "opencv")
    assert finding.level == "note" and "pip uninstall opencv-python-headless opencv-python" in finding.remedy


def test_a_package_that_is_there_but_broken_is_a_fault(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    (finding,) = found(packages.check_packages(), "pooch")
    assert finding.level == "fault" and "cannot be imported" in finding.text and "--force-reinstall" in finding.remedy


@pytest.mark.parametrize(
    "version, wanted, good",
    [
        ("2.11.0+cu130", ">=2.11", True),
        ("2.9.1", ">=2.11", False),
        ("3.0.0", ">=2.0.8,<3", False),
        ("2.0.8", ">=2.0.8,<3", True),
        ("4.9.0.80", ">=4.9.0.80", True),
        ("4.9", ">=4.9.0.80", False),
        ("2.16.0a0", "", True),
        ("1.0", "==1.0.0", True),
        ("1.0", "!=1.0", False),
        ("5", ">4,<=5", True),
    ],
)
def test_versions_are_compared_number_by_number(version, wanted, good):
    assert packages.within(version, wanted) is good


def test_requirements_are_read_with_their_headings(monkeypatch, tmp_path):
    wanted = packages.requirements()
    assert wanted["torch"] == (">=2.13", "") and wanted["jsonargparse"][1] == ""
    assert wanted["nbclient"][1] == "the notebooks" and wanted["pytest"][1] == "the tests"
    monkeypatch.setattr(packages, "REQUIREMENTS", tmp_path / "absent.txt")  # as in an installed wheel
    lines = ["torch>=2.11", 'jsonargparse[signatures]>=4.40; extra == "x"']
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    assert packages.requirements() == {"torch": (">=2.11", ""), "jsonargparse": (">=4.40", "")}


def test_the_doctor_starts_where_other_commands_cannot():
    """Even without numpy and torch: it must be able to say so."""
    script = (
        "import sys, runpy\n"
        "for name in ('numpy', 'torch', 'cv2', 'yaml', 'matplotlib', 'tqdm'): sys.modules[name] = None\n"
        "sys.argv = ['seglib', 'doctor']\n"
        "runpy.run_module('seglib', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    for name in ("numpy", "torch", "opencv-python-headless", "pyyaml"):
        line = next(line for line in done.stdout.splitlines() if line.split()[1] == name)
        assert line.startswith("fault") and "cannot be imported" in line
    assert "mend the faults first" in done.stdout and "OK     runs" in done.stdout


@pytest.fixture
def released(tmp_path, monkeypatch):
    """A copy of the smallest released weights, to be spoilt."""
    if not weights.names():
        pytest.skip("no weights are released yet")
    name = min(weights.names(), key=lambda name: weights.manifest()["weights"][name]["bytes"])
    listed = {"address": "", "weights": {name: weights.manifest()["weights"][name]}}
    for file in (listed["weights"][name]["file"], f"{name}.json"):
        shutil.copy(weights.FOLDER / file, tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    monkeypatch.delenv(weights.ADDRESS_VARIABLE, raising=False)
    return name, tmp_path / listed["weights"][name]["file"]


def test_weights_are_intact_damaged_or_absent(released, monkeypatch):
    name, file = released
    assert [finding.level for finding in contents.check_weights()] == ["OK"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    (finding,) = contents.check_weights()
    assert finding.level == "fault" and finding.subject == name and "sha256 differs" in finding.text
    file.unlink()
    monkeypatch.setattr(weights.download, "fetch", lambda *_: pytest.fail("a check downloads nothing"))
    (finding,) = contents.check_weights()
    assert finding.level == "note" and finding.remedy == f"python -m seglib weights get {name}"
    (file.parent / "manifest.json").write_text("{")
    (finding,) = contents.check_weights()
    assert finding.level == "fault" and "manifest.json" in finding.text


def test_damaged_weights_make_the_command_fail(released, capsys, tmp_path):
    released[1].write_bytes(b"short")
    assert main(["doctor", "--root", str(tmp_path), "--runs", str(tmp_path / "runs")]) == 1
    shown = capsys.readouterr().out
    assert f"fault  {released[0]}" in shown and "mend the faults first" in shown


def test_data_sets_that_are_not_here_or_in_part(tmp_path, monkeypatch):
    findings = {finding.subject: finding for finding in contents.check_data(tmp_path)}
    assert {finding.level for finding in findings.values()} == {"note"}
    assert findings["horses"].remedy.startswith("python -m seglib data download horses")
    for part in ("horse", "mask"):
        folder = tmp_path / "weizmann_horse_db" / part
        folder.mkdir(parents=True)
        Image.new("L", (40, 30)).save(folder / "horse001.png")
    (finding,) = found(contents.check_data(tmp_path), "horses")
    assert finding.level == "note" and "326 images of its split lists are not there" in finding.text
    monkeypatch.setenv("SEGLIB_DATA", str(tmp_path / "absent"))
    assert found(contents.check_data(tmp_path), "data")[0].level == "fault"


def test_data_sets_that_are_here(realdata):
    here = [finding for finding in contents.check_data(realdata) if finding.level == "OK"]
    assert here and all("train" in finding.text for finding in here)


def test_places_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    (finding,) = machine.check_runs(tmp_path / "file" / "runs")
    assert finding.level == "fault" and "--run=DIR" in finding.remedy
    (finding,) = machine.check_runs(tmp_path / "a" / "b")
    assert finding.level == "OK" and not (tmp_path / "a").exists()


def test_little_room_and_memory_are_noted(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    for free, level in ((512 << 20, "note"), (50 << 20, "fault")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        assert next(machine.check_runs(tmp_path)).level == level
    monkeypatch.setattr(machine, "available_memory", lambda: 1 << 30)
    assert next(machine.check_memory()).level == "note"
    monkeypatch.setattr(machine, "available_memory", lambda: None)
    assert "unknown" in next(machine.check_memory()).text


def test_more_threads_than_cores_are_noted(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    (finding,) = machine.check_processor()
    assert finding.level == "note" and finding.remedy.startswith("export OMP_NUM_THREADS=")


def test_a_device_that_does_not_compute_is_a_fault(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no kernel image is available\nfor execution")

    monkeypatch.setattr(torch, "ones", broken)
    (finding,) = found(machine.check_torch(), "cpu")
    assert finding.level == "fault" and finding.text.endswith("no kernel image is available")


def test_optional_packages_are_never_faults(without):
    without(**{name: None for name in packages.OPTIONAL})
    findings = list(packages.check_optional())
    assert {finding.level for finding in findings} == {"note"} and len(findings) == len(packages.OPTIONAL)
    assert all("python -m pip install" in finding.remedy for finding in findings)


def test_a_check_that_breaks_does_not_hide_the_others(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "check_python", lambda: 1 / 0)
    findings = doctor.examine(tmp_path, tmp_path)
    first = next(findings)
    assert first.level == "fault" and "ZeroDivisionError" in first.text and next(findings)
