"""The site in a real browser: every page, every link, both widths, light and dark, and the demo against PyTorch."""

import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image

from seglib import data, inference, weights
from seglib.data import transforms
from seglib.metrics import Counts

for package in ("sphinx", "myst_nb", "sphinxcontrib.bibtex", "onnxruntime", "onnxscript", "playwright"):
    pytest.importorskip(package, reason=f"the site needs {package}: pip install 'seglib[site]'")

from playwright.sync_api import sync_playwright  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DEPS = ROOT / "build" / "site" / "deps"
WIDTHS = {"phone": 390, "desktop": 1280}
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium (or Chrome)"),
    pytest.mark.skipif(not shutil.which("npm") and not DEPS.exists(), reason="no npm to fetch the site's scripts"),
]


@pytest.fixture(scope="session")
def site() -> Path:
    """The built site.  Test processes wait for each other: the first one builds it, if anything has changed."""
    import fcntl

    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / "build" / "site.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, ROOT / "site" / "build.py", "--if-changed"]
        paths = {**os.environ, "PYTHONPATH": str(ROOT)}
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=paths)
    assert result.returncode == 0, result.stdout + result.stderr
    return ROOT / "build" / "site" / "html"


@pytest.fixture(scope="session")
def address(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser():
    """With a fake camera, and a graphics processor in software, which the demo uses only if it is selected."""
    with sync_playwright() as playwright:
        switches = [
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
            "--enable-unsafe-webgpu",
            "--use-webgpu-adapter=swiftshader",
        ]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        yield browser
        browser.close()


@pytest.fixture
def eight_bit(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "site")
    import eight_bit

    return eight_bit


@contextlib.contextmanager
def opened(browser, address, width="desktop", scheme="light"):
    """Open a page; yields it and the list of its errors and its requests to other hosts."""
    context = browser.new_context(viewport={"width": WIDTHS[width], "height": 844}, color_scheme=scheme)
    context.set_default_timeout(120_000)  # a machine that is busy with other tests is slow
    page = context.new_page()
    wrong = []
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or wrong.append(f"asks for {r.url}"))
    page.on("response", lambda answer: answer.status < 400 or wrong.append(f"{answer.status} {answer.url}"))
    yield page, wrong
    context.close()


def pages(site: Path) -> list[str]:
    return sorted(file.relative_to(site).as_posix() for file in site.rglob("*.html") if "_static" not in file.parts)


# The built files


class Links(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.links, self.anchors, self.images = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values.get("id"), values.get("name")}
        self.links += [values[key] for key in ("href", "src") if values.get(key)]
        if tag == "img":
            self.images.append(values)


def test_every_link_has_a_target(site):
    read = {name: Links((site / name).read_text(encoding="utf-8")) for name in pages(site)}
    broken = []
    for name, parsed in read.items():
        for link in parsed.links:
            target, anchor = urldefrag(urljoin(f"http://site/{name}", link))
            if urlsplit(target).netloc != "site" or target.startswith("data:"):
                continue
            path = unquote(urlsplit(target).path).lstrip("/") or "index.html"
            if not (site / path).is_file() or (anchor and path in read and unquote(anchor) not in read[path].anchors):
                broken.append(f"{name}: {link}")
    assert not broken
    assert len(read) > 30 and sum(len(parsed.links) for parsed in read.values()) > 1000


def test_every_notebook_and_all_released_weights_have_a_page(site):
    for file in (ROOT / "notebooks").rglob("*.ipynb"):
        page = (site / "course" / file.relative_to(ROOT / "notebooks")).with_suffix(".html")
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code" and cell["id"] != "setup"]  # of a checkout
        assert page.read_text(encoding="utf-8").count('class="cell_input docutils') == len(code)
    results = (site / "results.html").read_text(encoding="utf-8")
    for name in weights.names():
        assert f"{weights.card(name)['scores']['miou']:.4f}" in results
        assert (site / "weights" / f"{name}.html").exists()


def test_demo_has_one_network_for_each_data_set_before_a_second_one(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "site")
    import demo_models

    sizes = {"unet-horses": 15, "small-horses": 2, "unet-humans": 15, "net-streets": 12, "other-horses": 8}
    sizes["unet-horses-2"] = 1  # left out: the same network for the same data as unet-horses, with a lower mIoU
    monkeypatch.setattr(weights, "manifest", lambda: {"weights": {n: {"bytes": s} for n, s in sizes.items()}})

    def card(name):
        network, data, *again = name.split("-")
        return {"data": {"name": data}, "model": {"name": network, "options": {}}, "scores": {"miou": -len(again)}}

    monkeypatch.setattr(weights, "card", card)
    order = ["small-horses", "unet-humans", "net-streets", "other-horses", "unet-horses"]
    for budget, expected in ((1, []), (5, order[:1]), (25, [*order[:2], order[3]]), (30, order[:3]), (52, order)):
        assert demo_models.chosen(budget) == (expected, [name for name in sizes if name not in expected])


def test_pages_without_a_source_are_removed(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "site")
    import build

    source, out = tmp_path / "source", tmp_path / "html"
    for folder in (source / "api", out / "api"):
        folder.mkdir(parents=True)
    files = [source / "a.md", source / "api" / "x.y.rst", out / "a.html", out / "b.html", out / "search.html"]
    for file in [*files, out / "api" / "x.y.html", out / "api" / "x.html"]:
        file.touch()
    assert build.remove_old_pages(source, out) and not build.remove_old_pages(source, out)
    assert pages(out) == ["a.html", "api/x.y.html", "search.html"]


def test_site_size_is_limited(site):
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 90_000_000


def test_every_reference_is_identified_and_cited(site):
    entries = (ROOT / "site" / "pages" / "references.bib").read_text(encoding="utf-8").split("\n@")[1:]
    keys = [entry.split("{")[1].split(",")[0] for entry in entries]
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "site" / "pages").glob("*.md"))
    cited = {key for keys in re.findall(r"\{cite\}`([^`]+)`", text) for key in keys.split(",")}
    assert sorted(cited) == sorted(keys) and len(set(keys)) == len(keys) > 40
    for entry in entries:
        assert re.search(r"eprint = \{\d{4}\.\d{4,5}\}|doi = \{10\.\d{4,}/", entry), entry
    page = (site / "references.html").read_text(encoding="utf-8")
    assert page.count('class="citation"') == len(keys)


# The pages in the browser


@pytest.mark.parametrize("half", [0, 1])
def test_every_page_loads_and_fits_its_width(site, address, browser, half):
    """At phone and desktop width, light and dark in turn; nothing is requested from another host."""
    problems = []
    with opened(browser, address) as (light, wrong), opened(browser, address, scheme="dark") as (dark, more):
        for number, name in enumerate(pages(site)[half::2]):
            page = (light, dark)[number % 2]
            page.goto(f"{address}{name}?device=wasm", wait_until="load")  # the demo loads twice otherwise
            page.wait_for_function("!window.MathJax?.startup || MathJax.startup.promise.then(() => true)")
            for width in WIDTHS.values():
                page.set_viewport_size({"width": width, "height": 844})
                over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                problems += [f"{name} is {over} pixels too wide at {width}"] if over > 0 else []
            problems += [f"{name}: {words}" for words in (*wrong, *more)]
            wrong.clear()
            more.clear()
    assert not problems


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> str:
    """The script of axe-core, the rules of accessibility."""
    sys.path.insert(0, str(ROOT / "site"))
    try:
        import deps
    finally:
        sys.path.remove(str(ROOT / "site"))
    try:
        deps.fetch(deps.AXE)
    except deps.DepsError as error:
        pytest.skip(str(error))
    (script,) = deps.unpack(deps.AXE, tmp_path_factory.mktemp("axe"))
    return script.read_text(encoding="utf-8")


def axe_findings(page, address: str, script: str, names: list[str]) -> list[str]:
    findings = []
    for name in names:
        page.goto(f"{address}{name}?device=wasm")  # the demo loads twice otherwise
        page.evaluate(script)
        # axe does not see the text of a formula, so headings of tables are looked at here.
        rules = "{ 'empty-table-header': { enabled: false } }"
        result = page.evaluate(f"axe.run(document, {{ resultTypes: ['violations'], rules: {rules} }})")
        empty = "headings => headings.filter((th) => !(th.ariaLabel || th.textContent.trim())).length"
        assert page.eval_on_selector_all("article th", empty) == 0, name
        findings += [f"{name}: {v['id']}: {v['nodes'][0]['html'][:160]}" for v in result["violations"]]
    return findings


AXE_VIEWS = pytest.mark.parametrize(("width", "scheme"), [("phone", "dark"), ("desktop", "light")])


@pytest.mark.parametrize(("width", "scheme", "half"), [("phone", "dark", 0), ("desktop", "light", 1)])
def test_axe_has_no_findings(address, browser, axe, width, scheme, half):
    """Test one page of each kind, in one of the two views; `make soak` tests every page in both."""
    names = ["index", "course", "demo", "results", "explorer", "networks", "guides", "reference", "reading", "404"]
    names += ["cite", "references", "search", "genindex", "solutions", "_modules/index"]
    names += ["guides/data_formats", "api/metrics", "_modules/seglib/losses/distillation"]
    names += ["course/05_mini_hrnet", "course/solutions/02_unet", f"weights/{weights.names()[0]}"]
    with opened(browser, address, width, scheme) as (page, _):
        findings = axe_findings(page, address, axe, [f"{name}.html" for name in names[half::2]])
    assert not findings, "\n".join(findings)


@pytest.mark.slow
@AXE_VIEWS
def test_axe_has_no_findings_on_any_page(site, address, browser, axe, width, scheme):
    with opened(browser, address, width, scheme) as (page, _):
        findings = axe_findings(page, address, axe, pages(site))
    assert not findings, "\n".join(findings)


def test_every_image_has_an_alternative_text(site):
    for name in pages(site):
        for image in Links((site / name).read_text(encoding="utf-8")).images:
            assert "alt" in image and not re.search(r"[0-9a-f]{20}", image["alt"]), (name, image)


def test_every_page_has_tags_for_previews(site):
    for name in pages(site):
        text = (site / name).read_text(encoding="utf-8")
        assert all(f'property="og:{tag}"' in text for tag in ("title", "description", "type")), name


def test_code_is_wide_and_chapters_are_reachable(address, browser):
    """Code has at least 900 pixels at 1280, or its lines wrap; the chapters unfold on a phone."""
    with opened(browser, address) as (page, wrong):
        page.goto(address + "course/02_unet.html")
        widths = page.eval_on_selector_all("div.cell pre", "blocks => blocks.map((b) => b.clientWidth)")
        assert len(widths) > 30 and min(widths) >= 890
        page.evaluate("document.querySelectorAll('article section[id] h2')[2].scrollIntoView()")
        page.wait_for_selector(".here a.now")
        assert page.locator(".here a.now").count() == 1
        assert page.get_by_text("Download .ipynb").is_visible()
        assert not wrong
    with opened(browser, address, "phone") as (page, wrong):
        page.goto(address + "course/02_unet.html")
        assert not page.is_visible(".tree")
        page.click(".side > summary")
        page.click(".tree >> text=HRNet")
        assert "hrnet" in page.url
        over = "blocks => blocks.filter((b) => b.scrollWidth > b.clientWidth + 1).length"
        assert page.eval_on_selector_all("div.cell pre", over) == 0
        assert not wrong


def test_results_sort_and_become_cards_on_a_phone(address, browser):
    with opened(browser, address) as (page, wrong):
        page.goto(address + "results.html")
        table = page.locator(".sortable table").nth(1)
        names = "table => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim())"
        before = table.evaluate(names)
        table.locator("th button").nth(0).click()
        assert len(before) > 3 and table.evaluate(names) == sorted(before, reverse=True)
        assert table.evaluate("table => table.scrollWidth <= table.closest('.sortable').clientWidth + 1")
        page.set_viewport_size({"width": WIDTHS["phone"], "height": 844})
        assert page.evaluate("getComputedStyle(document.querySelector('.sortable td')).display") == "grid"
        assert not wrong


@pytest.mark.parametrize(
    ("words", "title"), [("own data", "Data formats"), ("Python", "Prediction"), ("ONNX file", "ONNX")]
)
def test_search_finds_the_guides(address, browser, words, title):
    with opened(browser, address) as (page, wrong):
        page.goto(f"{address}search.html?q={words}")
        page.wait_for_selector(f"#search-results li >> text={title}")
        assert not wrong


CONTRAST = """() => {
  const light = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const parts = "main :is(p, h1, h2, a:not(.button, .headerlink), code, pre span, figcaption), .bar a, footer";
  return [...document.querySelectorAll(parts)]
    .map((part) => [part.textContent.trim().slice(0, 30), light(getComputedStyle(part).color)])
    .filter(([text]) => text)
    .map(([text, own]) => [text, (Math.max(own, ground) + 0.05) / (Math.min(own, ground) + 0.05), ground]);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(address, browser, scheme):
    with opened(browser, address, scheme=scheme) as (page, _):
        for name in ("index.html", "api/metrics.html", "course/02_unet.html"):
            page.goto(f"{address}{name}?device=wasm")
            contrasts = page.evaluate(CONTRAST)
            assert len(contrasts) > 20
            assert all((ground < 0.05) == (scheme == "dark") for _, _, ground in contrasts)
            assert not [(text, round(ratio, 2)) for text, ratio, _ in contrasts if ratio < 4.5]


def test_the_chosen_theme_stays(address, browser):
    with opened(browser, address) as (page, _):
        page.goto(address + "index.html")
        assert page.get_attribute("html", "data-theme") == "light"
        page.click(".theme")
        page.goto(address + "course.html")
        assert page.get_attribute("html", "data-theme") == "dark"


def test_the_menu_opens_on_a_phone(address, browser):
    with opened(browser, address, "phone") as (page, _):
        page.goto(address + "course.html")
        assert not page.is_visible("#areas")
        page.click(".menu")
        page.click("#areas >> text=Networks")
        assert page.url.endswith("networks.html")


def test_search_finds_a_page(address, browser):
    with opened(browser, address) as (page, wrong):
        page.goto(address + "index.html")
        page.fill(".search input", "gridding")
        page.keyboard.press("Enter")
        page.wait_for_selector("#search-results li >> text=Dilated")
        assert not wrong


def test_the_explorer_sorts_by_iou(site, address, browser):
    with opened(browser, address) as (page, wrong):
        page.goto(address + "explorer.html")
        page.wait_for_selector(".results li")  # the list is fetched
        for order, ways in (("worst", 1), ("best", -1)):
            page.select_option('[name="order"]', order)
            ious = page.eval_on_selector_all(".results li", "rows => rows.map((row) => +row.dataset.miou)")
            assert ious == sorted(ious, key=lambda v: ways * v) and len(set(ious)) > 8
        assert not wrong
    listed = json.loads((site / "_static" / "explorer" / "explorer.json").read_text())
    first = listed[0]["images"][5]
    target, prediction = (
        np.asarray(Image.open(site / "_static" / "explorer" / f"{first['stem']}-{end}.png"))
        for end in ("target", listed[0]["name"])
    )
    counts = Counts(len(listed[0]["classes"]))
    counts.update(target, prediction)
    assert counts.scores()["miou"] == pytest.approx(first["miou"])


def test_the_explorer_keeps_its_state_enlarges_and_leads_to_the_demo(address, browser):
    with opened(browser, address) as (page, wrong):
        page.goto(address + "explorer.html")
        page.wait_for_selector(".results li")
        ious = page.eval_on_selector_all(".results li", "rows => rows.map((row) => +row.dataset.miou)")
        assert ious == sorted(ious, reverse=True)
        names = page.eval_on_selector_all('[name="model"] option', "options => options.map((option) => option.value)")
        page.select_option('[name="model"]', names[-1])
        page.select_option('[name="order"]', "number")
        assert page.locator('[data-part="classes"] li').count() >= 2
        link = page.url
        page.goto("about:blank")
        page.goto(link + "&image=4")
        page.wait_for_selector(".results li")
        assert (page.input_value('[name="model"]'), page.input_value('[name="order"]')) == (names[-1], "number")
        assert -5 < page.evaluate("document.querySelector('[data-number=\"4\"]').getBoundingClientRect().top") < 400
        page.click(".results button >> nth=2")
        assert page.evaluate("document.querySelector('dialog[open] img').getBoundingClientRect().width") > 700
        page.keyboard.press("Escape")
        page.goto(f"{address}{page.get_attribute('.results a >> nth=0', 'href')}&device=wasm")
        page.wait_for_selector('#demo[data-state="done"]')
        assert page.get_attribute('input[name="model"]:checked', "value") == names[-1]
        assert not wrong


@pytest.mark.parametrize("width", WIDTHS)
def test_blocks_of_a_diagram_state_shape_cost_and_source(address, browser, width):
    with opened(browser, address, width) as (page, wrong):
        page.goto(address + "networks.html")
        figure = page.locator("#diagram-unet")
        assert "down1" in figure.locator("svg text").all_text_contents()
        block = figure.locator(".block >> nth=2")
        block.focus()
        facts = figure.locator(".facts")
        # 3x3 convolutions: 64 to 128 and 128 to 128 channels, at 128 x 256 pixels.
        macs = 9 * (64 * 128 + 128 * 128) * 128 * 256
        assert f"128 x 128 x 256, 221,696 weights, {macs / 1e6:,.1f} million MACs" in facts.inner_text()
        before = figure.locator("svg").bounding_box()["width"]
        figure.locator("[data-zoom='1']").click()
        assert figure.locator("svg").bounding_box()["width"] == pytest.approx(1.5 * before, rel=0.01)
        facts.locator("a").click()
        page.wait_for_url("**/unet.html#line-*")
        line = """() => {
          const range = document.createRange();
          range.setStartAfter(document.querySelector(location.hash));
          range.setEndAfter(document.querySelector(".highlight pre"));
          return range.toString().split("\\n")[0];
        }"""
        assert page.evaluate(line).strip().startswith("class Down(")
        assert not wrong


def test_an_image_is_followed_through_the_feature_maps(site, address, browser, tmp_path, eight_bit):
    """The stages have the shapes and values of PyTorch's; the channels are those with the largest variance.

    The image is a PNG file of the network's size, so that the network's input is exactly the same.
    """
    described = json.loads((site / "_static/demo/models/features.json").read_text())
    network, metadata = eight_bit.load_network(described["model"]["name"])
    maps = {}
    for stage in described["stages"]:
        module = network.get_submodule(stage["module"])
        module.register_forward_hook(lambda _m, _i, output, title=stage["title"]: maps.update({title: output[0]}))
    side = described["model"]["longest_side"]
    file = drawn("creatures", (side // 2, side), tmp_path / "photo.png")
    inference.Predictor(network, **metadata["config"]["inference"] | ONCE).labels(data.read_image(file))
    with opened(browser, address) as (page, wrong):
        page.goto(address + "networks.html")
        page.click('#features [data-part="run"]')
        page.wait_for_selector("#features canvas")
        assert described["image"] in page.inner_text('#features [data-part="status"]')
        page.set_input_files('#features [data-part="file"]', file)
        page.wait_for_selector("#features >> text=on photo.png")
        headings = page.locator("#features h4").all_text_contents()
        assert headings == [f"{title}: {' x '.join(map(str, values.shape))}" for title, values in maps.items()]
        grey = "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0)"
        for number, (title, values) in enumerate(maps.items()):
            canvas = page.locator(f"#features li:nth-child({number + 1}) canvas >> nth=0")
            channel = int(values.flatten(1).var(1).argmax())
            assert canvas.get_attribute("aria-label") == f"{title}, channel {channel}"
            low, high = values[channel].aminmax()
            expected = (255 * (values[channel] - low) / (high - low)).numpy()
            assert np.abs(np.reshape(canvas.evaluate(grey), expected.shape) - expected).max() < 1
        assert not wrong


# the demo


def drawn(kind: str, size: tuple[int, int], file: Path) -> Path:
    Image.fromarray(data.load(kind, split="val", length=4, size=size)[3]["image"]).save(file, quality=90)
    return file


def choose(page, file: Path) -> None:
    before = page.get_attribute("#demo", "data-finished")
    page.set_input_files('[data-part="file"]', file)
    count = "document.querySelector('#demo').dataset.finished ?? null"
    page.wait_for_function(f"(before) => ({count}) !== before", arg=before)


def saved(page, part: str) -> Image.Image:
    with page.expect_download() as download:
        page.click(f'[data-part="{part}"]')
    return Image.open(download.value.path())


ONCE = {"flip": False}  # the demo computes an image once, without its mirror image, as its page says


def test_demo_masks_equal_those_of_pytorch(site, address, browser, tmp_path, eight_bit):
    """With every network of the site, on images that are downsampled, upsampled and, being thin, padded.

    Each network gets what it was trained on: on other images, a change of one gray level changes its mask.
    """
    listed = json.loads((site / "_static" / "demo" / "models" / "models.json").read_text())["models"]
    assert listed
    photo = drawn("creatures", (391, 517), tmp_path / "photo.jpg")
    street = drawn("streets", (391, 517), tmp_path / "street.jpg")
    portrait = Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    known = {"horses": photo, "camvid": street, "humans": portrait}
    small = drawn("creatures", (150, 211), tmp_path / "small.png")
    Image.open(photo).crop((0, 150, 517, 190)).save(tmp_path / "thin.png")
    with opened(browser, address) as (page, wrong):
        for number, model in enumerate(listed):
            page.goto(f"{address}demo.html?model={model['name']}&device=wasm")
            page.wait_for_selector("#demo[data-ready]")
            network, notes = eight_bit.load_network(model["name"])
            predictor = inference.Predictor(network, **notes["config"]["inference"] | ONCE)
            first = known[model["data"]]
            for file in [first, small, tmp_path / "thin.png"] if number == 0 else [first]:
                choose(page, file)
                mask = saved(page, "save-mask")
                labels, expected = np.asarray(mask), predictor.labels(data.read_image(file))
                assert labels.shape == expected.shape and mask.mode == "P"
                assert mask.getpalette()[: 3 * len(model["palette"])] == sum(model["palette"], [])
                counts = Counts(len(model["classes"]))
                counts.update(expected, labels)
                assert (labels == expected).mean() >= 0.995
                if 0.02 < (expected > 0).mean():  # of a smaller foreground a few pixels are a large part
                    assert counts.scores()["miou"] > 0.99
                assert re.search(r"took [\d.]+ s", page.inner_text('[data-part="status"]'))
        assert not wrong


@pytest.mark.slow
def test_the_graphics_processor_gives_the_same_mask(address, browser, tmp_path, eight_bit):
    """The image is thin because the software renderer is slow."""
    image = data.load("creatures", "val", length=3, size=[120, 240])[2]["image"][50:74]
    Image.fromarray(image).save(tmp_path / "thin.png")
    with opened(browser, address) as (page, wrong):
        page.set_default_timeout(300_000)
        page.goto(address + "demo.html?device=webgpu")
        page.wait_for_selector("#demo[data-ready]")  # the service worker has reloaded the page by then
        if not page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
            pytest.skip("this Chromium has no WebGPU, not even in software")
        choose(page, tmp_path / "thin.png")
        page.wait_for_selector('#demo[data-state="done"]')
        assert "WebGPU" in page.inner_text('[data-part="status"]')
        model = page.get_attribute('input[name="model"]:checked', "value")
        network, notes = eight_bit.load_network(model)
        expected = inference.Predictor(network, **notes["config"]["inference"] | ONCE).labels(image)
        assert 0.02 < expected.mean() < 0.98 and (np.asarray(saved(page, "save-mask")) == expected).mean() >= 0.995
        assert not wrong


def test_the_demo_on_a_phone_by_keyboard_and_with_bad_files(address, browser, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "cut.png").write_bytes(drawn("creatures", (64, 80), tmp_path / "whole.png").read_bytes()[:300])
    (tmp_path / "empty.jpg").touch()
    with opened(browser, address, "phone", "dark") as (page, wrong):
        page.goto(address + "demo.html?device=wasm")
        page.wait_for_selector("#demo[data-ready]")
        for file, words in (("notes.txt", "Choose an image"), ("cut.png", "damaged"), ("empty.jpg", "is empty")):
            choose(page, tmp_path / file)
            page.wait_for_function(f"document.querySelector('[role=alert]').textContent.includes('{words}')")
            assert page.is_visible('[role="alert"]') and not page.is_visible('[data-part="stage"]')
        page.focus('[data-part="examples"] button')
        page.keyboard.press("Enter")
        page.wait_for_selector('#demo[data-state="done"]')
        assert not page.is_visible('[role="alert"]')
        page.focus('[data-part="slider"]')
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        assert page.evaluate("document.querySelector('[data-part=stage]').style.getPropertyValue('--cut')") == "60%"
        page.click("text=Cut-out")
        cutout = np.asarray(saved(page, "save-cutout"))
        assert cutout.shape[2] == 4 and len(np.unique(cutout[..., 3])) > 50
        assert page.evaluate("document.documentElement.scrollWidth") == WIDTHS["phone"]
        assert not wrong


def test_the_network_is_loaded_while_the_visitor_looks_for_an_image(address, browser, tmp_path):
    """Each file is requested once, and none before the visitor wants to choose an image."""
    photo = drawn("creatures", (96, 128), tmp_path / "photo.jpg")
    with opened(browser, address) as (page, wrong):
        page.goto(address + "demo.html?model=u2netp-horses&device=wasm")
        page.wait_for_selector("#demo[data-ready]")
        requests = []
        page.context.on("request", lambda r: requests.append(r.url.rpartition("/")[2]))
        with (
            page.expect_file_chooser() as chooser,
            page.context.expect_event("requestfinished", lambda r: r.url.endswith(".8bit.safetensors")),
        ):
            assert not requests
            page.click("text=Choose an image")
        chooser.value.set_files(photo)
        page.wait_for_selector('#demo[data-state="done"]')
        files = [name for name in requests if name.endswith((".onnx", ".safetensors", ".gz"))]
        assert sorted(files) == ["u2netp-horses.8bit.safetensors", "u2netp-horses.onnx", "wasm.wasm.gz"]
        assert not wrong


def test_camera_takes_an_image_or_reports_why_not(address, browser):
    """With the browser's fake camera."""
    with opened(browser, address) as (page, wrong):
        page.goto(address + "demo.html?device=wasm")
        page.wait_for_selector("#demo[data-ready]")
        page.click('[data-part="camera"]')
        page.wait_for_function("document.querySelector('[role=alert]').textContent.includes('camera was not allowed')")
        page.context.grant_permissions(["camera"])
        page.click('[data-part="camera"]')
        page.wait_for_function("document.querySelector('dialog[open] video')?.videoWidth > 0")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="hidden")
        assert page.get_attribute("#demo", "data-state") == "idle" and not page.is_visible('[data-part="stage"]')
        page.click('[data-part="camera"]')
        page.wait_for_function("document.querySelector('dialog[open] video')?.videoWidth > 0")
        size = page.evaluate("(video => [video.videoWidth, video.videoHeight])(document.querySelector('video'))")
        page.click("[data-take]")
        page.wait_for_selector('#demo[data-state="done"]')
        assert not page.is_visible("dialog") and page.evaluate("document.querySelector('video').srcObject") is None
        assert np.asarray(saved(page, "save-mask")).shape == (size[1], size[0])
        assert not wrong


def test_demo_scales_images_as_the_package_does(address, browser):
    generator = np.random.default_rng(0)
    with opened(browser, address) as (page, _):
        page.goto(address + "demo.html?device=wasm")
        for height, width, longest in ((120, 90, 60), (91, 133, 64), (40, 57, 96), (33, 70, 70), (300, 41, 64)):
            image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
            rgba = np.dstack([image, np.full((height, width), 255, np.uint8)])
            result = page.evaluate(
                """async ([pixels, height, width, longest]) => {
                  const { fit } = await import("./_static/demo/scaling.js");
                  const { planes, rows, columns } = fit(Uint8Array.from(pixels), height, width, longest, 1);
                  return [[...planes], rows, columns];
                }""",
                [rgba.ravel().tolist(), height, width, longest],
            )
            ours = np.array(result[0], int).reshape(3, *result[1:]).transpose(1, 2, 0)
            theirs = transforms.resize_longest_side(image, longest).astype(int)
            assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 1


VIEWPORTS = [("desktop", 800), ("phone", 844)]


@pytest.mark.parametrize(("width", "height"), VIEWPORTS)
def test_the_demo_is_one_box_above_the_fold(site, address, browser, width, height, eight_bit):
    """Subject, image, progress and result; an example is predicted at once, and the mask is that of PyTorch."""
    with opened(browser, address, width) as (page, wrong):
        page.set_viewport_size({"width": WIDTHS[width], "height": height})
        page.goto(address + "demo.html?device=wasm")
        page.wait_for_selector("#demo[data-ready]")
        bottom = "document.querySelector('.box').getBoundingClientRect().bottom"
        assert page.evaluate(bottom) <= height and page.is_visible("text=What is in your image?")
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        page.click('[data-part="examples"] button >> nth=0')
        page.wait_for_selector('#demo[data-state="done"]')
        assert not [url for url in requests if url.endswith((".safetensors", ".onnx", ".gz"))]
        assert "Computed beforehand" in page.inner_text('[data-part="status"]')
        assert page.get_attribute('[data-part="slider"]', "aria-valuetext") == "50 % of the result is shown"
        example = json.loads((site / "_static/demo/models/models.json").read_text())["examples"][0]
        network, notes = eight_bit.load_network(example["model"])
        image = data.read_image(site / "_static/demo/models" / example["file"])
        expected = inference.Predictor(network, **notes["config"]["inference"] | ONCE).labels(image)
        assert np.array_equal(np.asarray(saved(page, "save-mask")), expected)
        assert not wrong


def test_the_views_of_a_result(address, browser):
    with opened(browser, address) as (page, wrong):
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(address + "demo.html?device=wasm")
        page.wait_for_selector("#demo[data-ready]")
        page.click('[data-part="examples"] button >> nth=0')
        page.wait_for_selector('#demo[data-state="done"]')
        views = {}
        for kind in ("Overlay", "Mask", "Cut-out", "Background", "Confidence"):
            page.click(f".kinds >> text={kind}")
            views[kind] = np.asarray(saved(page, "save-view").convert("RGBA")).astype(int)
        page.click(".kinds >> text=Background")
        page.select_option('[data-part="backdrop"]', "color")
        page.fill('[data-part="color"]', "#00ff00")
        green = np.asarray(saved(page, "save-view").convert("RGB")).astype(int)
        outside = views["Cut-out"][..., 3] == 0
        inside = views["Cut-out"][..., 3] == 255
        assert outside.any() and inside.any()
        assert np.abs(green[outside] - [0, 255, 0]).max() <= 1
        assert np.array_equal(green[inside], views["Background"][inside][:, :3])  # the person is the same before a blur
        assert all((views[a] != views[b]).any() for a, b in (("Overlay", "Mask"), ("Mask", "Confidence")))
        page.click('[data-part="copy"]')
        page.wait_for_function("document.querySelector('[data-part=status]').textContent.startsWith('Copied')")
        assert not wrong


def test_two_networks_and_kept_results(site, address, browser, tmp_path):
    """The results of both stay when the reader switches back; screen readers skip the percentages of the progress."""
    listed = json.loads((site / "_static" / "demo" / "models" / "models.json").read_text())["models"]
    first, second = [model["name"] for model in listed if model["data"] == "horses"][:2]
    photo = drawn("creatures", (96, 128), tmp_path / "photo.jpg")
    with opened(browser, address) as (page, wrong):
        page.goto(f"{address}demo.html?model={first}&device=wasm")
        page.wait_for_selector("#demo[data-ready]")
        page.evaluate("""() => {
          window.spoken = [];
          const status = document.querySelector('[data-part="status"]');
          new MutationObserver(() => spoken.push(status.textContent)).observe(status, { childList: true });
        }""")
        choose(page, photo)
        assert 0 < page.evaluate("spoken.length") <= 4 and not page.evaluate(
            "spoken.some((text) => text.includes('%'))"
        )
        alone = np.asarray(saved(page, "save-mask"))
        page.click("#demo summary")
        page.select_option('[data-part="other"]', second)
        page.wait_for_function("document.querySelector('[data-part=status]').textContent.startsWith('Left of')")
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        done = page.get_attribute("#demo", "data-finished")
        page.click(f'.models input[value="{second}"]')
        page.wait_for_function("(done) => document.querySelector('#demo').dataset.finished !== done", arg=done)
        done = page.get_attribute("#demo", "data-finished")
        page.click(f'.models input[value="{first}"]')
        page.wait_for_function("(done) => document.querySelector('#demo').dataset.finished !== done", arg=done)
        assert np.array_equal(np.asarray(saved(page, "save-mask")), alone) and not requests
        assert not wrong


def test_the_demo_uses_several_cores(address, browser, tmp_path):
    """A service worker isolates the page, which plain hosting does not."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core")
    photo = drawn("creatures", (96, 128), tmp_path / "photo.jpg")
    with opened(browser, address) as (page, _):
        page.goto(address + "demo.html?model=u2netp-horses")
        page.wait_for_selector("#demo[data-ready]")
        assert page.evaluate("crossOriginIsolated")
        choose(page, photo)
        assert re.search(r"WebGPU|[2-9] threads", page.inner_text('[data-part="status"]'))


def test_a_likely_wrong_subject_is_pointed_out(address, browser, tmp_path):
    Image.new("RGB", (160, 120), (90, 140, 90)).save(tmp_path / "lawn.png")
    with opened(browser, address) as (page, wrong):
        page.goto(address + "demo.html?model=u2netp-horses&device=wasm")
        page.wait_for_selector("#demo[data-ready]")
        choose(page, tmp_path / "lawn.png")
        page.wait_for_selector('[data-part="advice"]:visible')
        assert "Is this an image of a horse?" in page.inner_text('[data-part="advice"]')
        page.click('[data-part="advice"] button >> nth=0')
        page.wait_for_function("document.querySelector('input[name=subject]:checked').value !== 'horses'")
        assert not wrong


def test_weights_in_8_bits_are_near_and_take_half_of_the_bytes(eight_bit):
    """Depthwise convolutions are unchanged; the error is at most half of a step of the channel's scale."""
    model, _ = weights.load("efficientnet_unet-humans")
    before = {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}
    packed = eight_bit.pack(before)
    after, offsets = eight_bit.unpack(packed)
    assert len(packed) < 0.55 * weights.card("efficientnet_unet-humans")["bytes"]
    assert set(after) == set(before) and list(offsets.values()) == sorted(offsets.values())
    changed = 0
    for name, value in before.items():
        step = value.abs().flatten(1).amax(1) / 127 if value.ndim == 4 else value.new_zeros(1)
        errors = (after[name] - value).abs().flatten(1).amax(1) if value.ndim == 4 else (after[name] - value).abs()
        assert (errors <= 0.5001 * step).all()
        if value.ndim == 4 and value.shape[1] == 1:
            assert not errors.any()
        changed += bool(errors.any())
    assert changed > 30


# what the site is made with


@pytest.fixture
def deps(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "site")
    import deps

    return deps


def test_other_bytes_than_expected_are_refused(deps, tmp_path, monkeypatch):
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho other > left-pad-1.0.0.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(deps, "CACHE", tmp_path / "cache")
    with pytest.raises(deps.DepsError, match="sha512 differs"):
        deps.fetch(deps.Package("left-pad", "1.0.0", "sha512-AAAA", {}))
    assert not list((tmp_path / "cache").iterdir())
    npm.write_text("#!/bin/sh\necho no such host >&2\nexit 1\n")
    with pytest.raises(deps.DepsError, match="no such host"):
        deps.fetch(deps.Package("left-pad", "1.0.0", "sha512-AAAA", {}))


def test_prose_becomes_restructuredtext(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "site")
    from prose import as_rst

    lines = ["Calls `f(a,", "b)` with *args and |x|, see name_.", "", "    ``kept``: as it is"]
    as_rst(lines)
    assert lines == ["Calls ``f(a, b)``", r"with \*args and \|x\|, see name\_.", "", "    ``kept``: as it is"]
