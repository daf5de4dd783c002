"""Downloads from a local server, and hostile archives."""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from course.datasets import digests, download, known, validation
from course.datasets.download import Archive, DownloadError, extract, fetch
from seglib import data
from seglib.data import DataError, splits
from tools import data_sets

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves the requested paths, correctly or with errors."""

    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        body = {"/good": CONTENT, "/cut": CONTENT, "/corrupt": CONTENT[:-1] + b"?"}.get(self.path)
        body = self.server.files.get(self.path) if body is None else body
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server with its `url`; the tests fill `files`, and `requests` lists the requested paths."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.requests, httpd.files, httpd.url = [], {}, f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def dead() -> str:
    """An address without a server."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.server_close()
    return f"http://127.0.0.1:{httpd.server_port}/good"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_fetch(server, tmp_path):
    target = tmp_path / "new" / "file.bin"
    assert fetch([f"{server.url}/good"], SHA256, target, progress=False) == target
    assert everything(tmp_path) == {"new/file.bin": CONTENT}


def test_fetch_with_a_bar_on_a_terminal_and_an_upper_case_hash(server, tmp_path, capsys, monkeypatch):
    fetch([f"{server.url}/good"], SHA256.upper(), tmp_path / "log.bin", progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch([f"{server.url}/good"], SHA256.upper(), tmp_path / "file.bin", progress=True)
    assert "100%" in capsys.readouterr().err


def test_mirrors_are_tried_in_order(server, dead, tmp_path):
    urls = [dead, f"{server.url}/missing", f"{server.url}/cut", f"{server.url}/corrupt", f"{server.url}/good"]
    fetch(urls, SHA256, tmp_path / "file.bin", progress=False)
    assert server.requests == ["/missing", "/cut", "/corrupt", "/good"]
    assert everything(tmp_path) == {"file.bin": CONTENT}


def test_when_all_mirrors_fail_each_reason_is_reported(server, dead, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"what was there before")
    urls = [dead, f"{server.url}/missing", f"{server.url}/cut", f"{server.url}/corrupt", "nonsense"]
    with pytest.raises(DownloadError) as excinfo:
        fetch(urls, SHA256, tmp_path / "file.bin", progress=False)
    digest = hashlib.sha256(CONTENT[:-1] + b"?").hexdigest()
    for part in ("file.bin", "no connection", "404", "cut", SHA256, digest, *urls):
        assert part in str(excinfo.value)
    assert everything(tmp_path) == {"file.bin": b"what was there before"}


def test_offline(dead, tmp_path):
    with pytest.raises(DownloadError, match="online"):
        fetch([dead], SHA256, tmp_path / "file.bin", progress=False)
    assert everything(tmp_path) == {}


def test_no_address(tmp_path):
    with pytest.raises(DownloadError, match="no address"):
        fetch([], SHA256, tmp_path / "file.bin", progress=False)


def test_a_good_file_is_kept_without_a_request(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    fetch([f"{server.url}/corrupt"], SHA256, tmp_path / "file.bin", progress=False)
    assert server.requests == [] and everything(tmp_path) == {"file.bin": CONTENT}


def test_a_corrupted_file_is_replaced_by_a_good_one(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT[:-2])
    fetch(f"{server.url}/good", SHA256, tmp_path / "file.bin", progress=False)
    assert everything(tmp_path) == {"file.bin": CONTENT}


def test_disk_full_while_downloading(server, tmp_path, monkeypatch):
    (tmp_path / "file.bin").write_bytes(b"before")

    def full(self, url, output_file, pooch):
        Path(output_file).write_bytes(CONTENT[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.pooch.HTTPDownloader, "__call__", full)
    with pytest.raises(DownloadError, match="no space left"):
        fetch([f"{server.url}/good"], SHA256, tmp_path / "file.bin", progress=False)
    assert everything(tmp_path) == {"file.bin": b"before"}


def test_interrupted_download_leaves_nothing(server, tmp_path, monkeypatch):
    def interrupted(self, url, output_file, pooch):
        Path(output_file).write_bytes(CONTENT[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(download.pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch([f"{server.url}/good"], SHA256, tmp_path / "file.bin", progress=False)
    assert everything(tmp_path) == {}


def test_folder_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="choose another folder"):
        fetch([f"{server.url}/good"], SHA256, tmp_path / "file" / "file.bin", progress=False)

    def refused(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(DownloadError, match="locked: permission denied; .*choose another folder"):
        fetch([f"{server.url}/good"], SHA256, tmp_path / "locked" / "file.bin", progress=False)


FILES = {"top/set/a.txt": b"alpha", "top/set/deep/b.txt": b"beta", "top/other.txt": b"gamma"}


def zip_of(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            packed.writestr(info, data)
    return path


def test_extract(tmp_path):
    archive = zip_of(tmp_path / "archive", FILES)
    assert extract(archive, tmp_path / "here" / "all") == tmp_path / "here" / "all"
    assert everything(tmp_path / "here") == {f"all/{name}": data for name, data in FILES.items()}


def test_extract_chosen_members(tmp_path):
    archive = zip_of(tmp_path / "archive", FILES)
    extract(archive, tmp_path / "here" / "Set", "top/set/(.+)", r"new/\1")
    assert everything(tmp_path / "here") == {"Set/new/a.txt": b"alpha", "Set/new/deep/b.txt": b"beta"}
    with pytest.raises(DownloadError, match=r"has no files that match top/sets/\(.\+\); its publisher changed it"):
        extract(archive, tmp_path / "there" / "Set", "top/sets/(.+)")
    with pytest.raises(DownloadError, match="twice"):
        extract(archive, tmp_path / "there" / "Set", ".+", "all.txt")
    assert not (tmp_path / "there").exists()


def test_an_existing_folder_is_never_overwritten(tmp_path):
    archive = zip_of(tmp_path / "archive", FILES)
    (tmp_path / "set").mkdir()
    extract(archive, tmp_path / "set")  # an empty folder may be used
    (tmp_path / "set" / "mine.txt").write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(DownloadError, match="exists already"):
        extract(archive, tmp_path / "set")
    assert everything(tmp_path) == before


def test_verify_gets_the_folder_and_may_refuse_it(tmp_path):
    archive = zip_of(tmp_path / "archive.zip", FILES)
    files = []
    extract(
        archive, tmp_path / "a" / "Set", "top/set/(.+)", verify=lambda parent: files.append(sorted(everything(parent)))
    )
    assert files == [["Set/a.txt", "Set/deep/b.txt"]]

    def refuse(parent):
        raise ValueError("not the one")

    with pytest.raises(ValueError, match="not the one"):
        extract(archive, tmp_path / "b" / "Set", "top/set/(.+)", verify=refuse)
    assert os.listdir(tmp_path / "b") == []


HOSTILE = ["../evil", "good/../../evil", "/tmp/evil", "C:/evil", "c:evil", "..\\evil", "\\\\host\\share\\evil"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_the_folder(tmp_path, name):
    archive = zip_of(tmp_path / "archive", {"good.txt": b"good", name: b"evil"})
    with pytest.raises(DownloadError, match="outside its folder"):
        extract(archive, tmp_path / "target" / "set")
    assert os.listdir(tmp_path) == ["archive"]


def test_a_hostile_name_is_shown_in_one_line(tmp_path):
    name = "line\nbreak\x1b[31m" + "n" * 5000
    archive = zip_of(tmp_path / "archive", {name: b"/tmp"}, {name: 0o120777})
    with pytest.raises(DownloadError, match=r"'line\\nbreak\\x1b") as raised:
        extract(archive, tmp_path / "target" / "set")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, mode):
    archive = zip_of(tmp_path / "archive", {"good.txt": b"good", "link": b"/tmp"}, {"link": mode})
    with pytest.raises(DownloadError, match="'link' is a"):
        extract(archive, tmp_path / "target" / "set")
    assert os.listdir(tmp_path) == ["archive"]


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = zip_of(tmp_path / "archive", {"a.txt": b"secret"})
    data = bytearray(archive.read_bytes())
    data[6] |= 1  # the flag in the file's own header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the table of contents
    archive.write_bytes(data)
    with pytest.raises(DownloadError, match="encrypted"):
        extract(archive, tmp_path / "target" / "set")


def test_bombs_are_refused_by_what_they_declare(tmp_path, monkeypatch):
    big = zip_of(tmp_path / "big", {"a": bytes(2_000_000), "b": bytes(2_000_000)})
    assert big.stat().st_size < 20_000
    many = zip_of(tmp_path / "many", {f"{i}": b"" for i in range(50)})
    assert (download.MAX_BYTES, download.MAX_FILES) == (64 * 2**30, 200_000)  # documented in docs/security.md
    for archive, name, limit in ((big, "MAX_BYTES", 3_000_000), (many, "MAX_FILES", 49)):
        with monkeypatch.context() as context, pytest.raises(DownloadError, match="refused as unsafe"):
            context.setattr(download, name, limit)
            extract(archive, tmp_path / "target" / "set")
    assert sorted(os.listdir(tmp_path)) == ["big", "many"]


def test_a_zip_that_holds_more_than_it_declares_is_refused(tmp_path):
    archive = zip_of(tmp_path / "archive", {"a": bytes(100_000)})
    data = archive.read_bytes().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    archive.write_bytes(data)
    with pytest.raises(DownloadError, match="damaged"):
        extract(archive, tmp_path / "here" / "set")
    assert os.listdir(tmp_path / "here") == []


def test_a_name_twice_is_refused(tmp_path):
    archive = zip_of(tmp_path / "archive", {"a/b": b"1", "a/./b": b"2"})
    with pytest.raises(DownloadError, match="twice"):
        extract(archive, tmp_path / "here" / "set")


def test_a_member_without_a_name_is_refused(tmp_path):
    """A zip's names end at a zero byte."""
    archive = zip_of(tmp_path / "archive", {"xyz": b"1"})
    archive.write_bytes(archive.read_bytes().replace(b"xyz", b"\0yz"))
    with pytest.raises(DownloadError, match="without a name"):
        extract(archive, tmp_path / "here" / "set")


def test_damaged_archives(tmp_path):
    noise = os.urandom(20_000)
    whole = zip_of(tmp_path / "whole", {"a": noise, "b": noise}).read_bytes()
    archive = tmp_path / "archive"
    damaged = bytearray(whole)
    damaged[5000:5100] = bytes(100)
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[:200], bytes(damaged)):
        archive.write_bytes(content)
        with pytest.raises(DownloadError, match="archive"):
            extract(archive, tmp_path / "here" / "set")
        assert not (tmp_path / "here").exists() or os.listdir(tmp_path / "here") == []
    with pytest.raises(DownloadError, match="no such file"):
        extract(tmp_path / "nowhere", tmp_path / "here" / "set")


def test_an_empty_archive_is_refused(tmp_path):
    with pytest.raises(DownloadError, match="has no files"):
        extract(zip_of(tmp_path / "archive", {}), tmp_path / "here" / "set")


def test_disk_full_while_unpacking(tmp_path, monkeypatch):
    archive = zip_of(tmp_path / "archive", FILES)

    def full(source, target, *args):
        target.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.shutil, "copyfileobj", full)
    with pytest.raises(DownloadError, match="no space left"):
        extract(archive, tmp_path / "here" / "set")
    assert os.listdir(tmp_path / "here") == []


def test_a_disk_too_small_is_reported_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 5))
    with pytest.raises(DownloadError, match="no space left"):
        extract(zip_of(tmp_path / "archive", FILES), tmp_path / "here" / "set")
    assert os.listdir(tmp_path / "here") == []


# --- The known data sets, from repositories as GitHub packs them ---------------------------------------------------


def png(seed: int, mask: bool = False) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (20, 30) if mask else (20, 30, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.uint8(255) * (values > 127) if mask else values).save(file, "PNG")
    return file.getvalue()


def matlab(seed: int) -> bytes:
    file = io.BytesIO()
    savemat(file, {"groundtruth": np.random.default_rng(seed).integers(0, 60, (20, 30)).astype(np.uint8)})
    return file.getvalue()


REPOSITORIES = {
    "horses": {
        "Deeplab-Weizmann-Horse-9e22/README.md": b"about",
        "Deeplab-Weizmann-Horse-9e22/weizmann_horse_db/classes_weights.npy": b"numbers",
        **{
            f"Deeplab-Weizmann-Horse-9e22/weizmann_horse_db/{kind}_{part}/horse00{i}.png": png(i, kind == "mask")
            for kind in ("horse", "mask")
            for i, part in ((1, "train"), (2, "train"), (3, "test"))
        },
    },
    "street_people": {
        "clothing-co-parsing-fe34/LICENSE": b"Apache",
        **{f"clothing-co-parsing-fe34/photos/000{i}.jpg": png(i) for i in (1, 2, 3)},
        **{f"clothing-co-parsing-fe34/annotations/pixel-level/000{i}.mat": matlab(i) for i in (1, 2)},
        "clothing-co-parsing-fe34/annotations/image-level/0003.mat": matlab(3),
    },
    "video_objects": {
        "EOR-VOS-1bde/README.md": b"about",
        "EOR-VOS-1bde/DAVIS/cont_flojpg/camel/00000.jpg": png(9),
        **{
            f"EOR-VOS-1bde/DAVIS/{place}/480p/{clip}/0000{i}.{end}": png(i, end == "png")
            for place, end in (("JPEGImages", "jpg"), ("Annotations", "png"))
            for clip in ("camel", "soapbox")
            for i in (0, 1, 5)
        },
    },
}
LAID_OUT = {
    "horses": [f"weizmann_horse_db/{kind}/horse00{i}.png" for kind in ("horse", "mask") for i in (1, 2, 3)],
    "street_people": sorted(
        name.replace("clothing-co-parsing-fe34", "street_people") for name in REPOSITORIES["street_people"]
    ),
    "video_objects": sorted(
        name.replace("EOR-VOS-1bde/DAVIS", "video_objects") for name in REPOSITORIES["video_objects"] if "480p" in name
    ),
}
KEYS = {
    "horses": ["horse001", "horse002", "horse003"],
    "street_people": ["0001", "0002"],
    "video_objects": ["camel_00000", "camel_00005"],
}


@pytest.fixture(params=list(REPOSITORIES))
def published(request, server, tmp_path, monkeypatch):
    """A data set on the local server, first at an address that fails, with the digests of its content."""
    name = request.param
    server.files[f"/{name}.zip"] = zip_of(tmp_path / "archive.zip", REPOSITORIES[name]).read_bytes()
    (tmp_path / "archive.zip").unlink()
    urls = (f"{server.url}/missing", f"{server.url}/{name}.zip")
    monkeypatch.setattr(Archive, "urls", urls)
    monkeypatch.setattr(splits, "LISTS", tmp_path / "lists")
    for split, keys in (("train", "horse001\nhorse003\n"), ("val", "horse002\n")):
        (tmp_path / "lists/horses/default").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"lists/horses/default/{split}.txt").write_text(keys)
    monkeypatch.setattr(digests, "DIGESTS", tmp_path / "digests.json")
    (tmp_path / "digests.json").write_text(json.dumps({name: {"train": ["0" * 64]}}))
    return name


def test_data_sets_are_downloaded_laid_out_and_verified(published, server, tmp_path, monkeypatch):
    with monkeypatch.context() as without_verification:
        without_verification.setattr(validation, "verify", lambda source, parent: None)
        validation.download(published, tmp_path / "first", progress=False)
    data_sets.write_digests([published], tmp_path / "first")
    server.requests.clear()
    folder = validation.download(published, tmp_path / "root", progress=False)
    assert server.requests == ["/missing", f"/{published}.zip"]
    assert sorted(everything(tmp_path / "root")) == sorted(LAID_OUT[published])
    assert data.load(published, "all", tmp_path / "root").keys == KEYS[published]
    assert folder.parent == tmp_path / "root" and os.listdir(tmp_path / "root") == [folder.name]
    report = validation.check(published, tmp_path / "root", progress=False)
    assert report.ok and all(report.released.values()) and report.released


def test_data_sets_with_other_content_are_refused(published, tmp_path):
    with pytest.raises(DataError, match="not the expected 0{64}; its publisher has changed it"):
        validation.download(published, tmp_path / "root", progress=False)
    assert os.listdir(tmp_path / "root") == []


def test_repositories_are_fetched_at_one_commit():
    for name in ("horses", "camvid", "street_people", "video_objects"):
        urls = known.SOURCES[name].archive.urls
        assert all(re.search("/[0-9a-f]{40}(\\.zip)?$", url) and url.startswith("https://") for url in urls)
