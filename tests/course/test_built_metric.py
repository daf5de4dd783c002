"""Boundary IoU as readers of notebook 09 build it equals the library's, run from the notebook's cells."""

import numpy as np
import pytest

from seglib import metrics

from .test_built_networks import FOLDER, imported_modules, tagged_cells

NAME = "09_evaluation"


@pytest.fixture
def built(monkeypatch):
    monkeypatch.chdir(FOLDER)
    namespace: dict = {"__name__": "__main__"}
    for source in tagged_cells(NAME, "build"):
        assert not {module for module in imported_modules(source) if module.split(".")[0] in ("seglib", "course")}
        exec(compile(source, f"{NAME}.ipynb", "exec"), namespace)
    return namespace


def test_the_proof_holds(built):
    proof = tagged_cells(NAME, "proof")
    assert proof and all("assert " in source for source in proof)
    for source in proof:
        exec(compile(source, f"{NAME}.ipynb", "exec"), built)


@pytest.mark.parametrize("shape", [(7, 9), (40, 33), (1, 5)])
def test_scores_equal_the_librarys(built, shape):
    rng = np.random.default_rng(3)
    target, prediction = rng.integers(0, 3, (2, *shape), dtype=np.uint8)
    target[0, :2] = 255
    score, counts = built["BoundaryIoU"](4), metrics.Counts(4)  # class 3 is absent
    score.update(target, prediction)
    counts.update(target, prediction)
    assert score.compute() == pytest.approx(counts.scores()["boundary_iou"], abs=1e-12)
    assert (built["confusion_matrix"](target, prediction, 4) == counts.confusion).all()
    np.testing.assert_allclose(built["iou"](counts.confusion[:3, :3]), metrics.iou(counts.confusion)[:3])
