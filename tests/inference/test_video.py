"""Videos: every frame gets the result of its image, at its time; bad files are refused by name."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from seglib import inference, visualize, weights
from seglib.cli.main import main
from seglib.inference import outputs, video
from tests.cli.test_predict import PALETTE, write_weights

av = pytest.importorskip("av", reason="needs PyAV: python -m pip install av")
TIMES = [0, 40, 120, 130, 200]  # milliseconds: frame rates may vary


def write_video(file, size=(41, 50), codec="ffv1", pixels="bgr0", sound=False):
    """Write a moving pattern; returns the frames as they can be read again if the codec is lossless."""
    pattern = np.random.default_rng(0).integers(0, 256, (10, 15, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(pattern).resize((120, 80)))
    frames = [np.ascontiguousarray(image[i : i + size[0], 2 * i : 2 * i + size[1]]) for i in range(len(TIMES))]
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("aac", rate=8000) if sound else None
        for image, time in zip(frames, TIMES, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio:
            write_silence(container, audio)
    return frames


def write_silence(container, stream):
    silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    silence.sample_rate = 8000
    container.mux(stream.encode(silence))
    container.mux(stream.encode())


def read_video(file, form):
    with av.open(str(file)) as container:
        frames = list(container.decode(video=0))
        times = [round(1000 * frame.time) for frame in frames]
        return [frame.to_ndarray(format=form) for frame in frames], times


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A current folder with weights that find both classes in about as many pixels."""
    monkeypatch.chdir(tmp_path)
    write_weights("w.safetensors", width=2)
    model, notes = inference.load("w.safetensors")
    background, leaf = np.log(inference.Predictor(model).probabilities(write_video(tmp_path / "any.mkv")[0]))
    list(model.parameters())[-1].data[1] -= float(np.median(leaf - background))
    weights.write_tensors("w.safetensors", model.state_dict(), notes)
    (tmp_path / "any.mkv").unlink()
    return tmp_path


def predict(*words):
    return main(["predict", *words, "--weights", "w.safetensors", "--device", "cpu"])


def test_frames_get_the_results_of_their_images(place, capsys):
    frames = write_video(place / "clip.mkv")
    assert predict("clip.mkv", "--kind", "mask,overlay,cutout", "--rank", "uncertainty") == 0
    out = capsys.readouterr().out
    model, _ = inference.load("w.safetensors")
    probabilities = [inference.Predictor(model).probabilities(frame) for frame in frames]
    labels = [p.argmax(0) for p in probabilities]
    masks, times = read_video("predictions/clip_mask.mkv", "gray")
    assert np.array_equal(masks, labels) and times == TIMES and 0 < np.mean(labels) < 1
    assert f"leaf {np.mean(labels):.1%}" in out and "1 of 1 images segmented" in out
    uncertainty = float((place / "predictions" / "uncertainty.csv").read_text().split(",")[-1])
    assert uncertainty == pytest.approx(np.mean([1 - p.max(0) for p in probabilities]), abs=1e-5)
    overlays, times = read_video("predictions/clip_overlay.mp4", "rgb24")
    expected = [visualize.overlay(f, m, PALETTE, background_class=0) for f, m in zip(frames, labels, strict=True)]
    error, distance = (np.abs(np.subtract(overlays, np.array(a, int))).mean() for a in (expected, frames))
    assert error < 10 and distance > 30 and times == TIMES
    cutouts, times = read_video("predictions/clip_cutout.mov", "rgba")
    alphas = [outputs.refine_alpha(f, 1 - p[0]) for f, p in zip(frames, probabilities, strict=True)]
    assert np.abs(np.array(cutouts)[..., 3] / 255 - alphas).max() < 0.05 and times == TIMES


def test_results_are_left_out_as_inputs_and_kept_if_they_exist(place, capsys):
    write_video(place / "clip.mkv")
    words = ".", "--out", ".", "--mask-format", "binary"
    assert predict(*words) == 0
    assert set(np.unique(read_video("clip_mask.mkv", "gray")[0])) == {0, 255}
    assert predict(*words, "--skip-existing") == 0
    out = capsys.readouterr().out
    assert "2 results of an earlier run" in out and "1 of 1 images already have results" in out
    assert len(list(place.glob("*.m*"))) == 3


def test_a_phone_held_upright_and_sound(place, capsys):
    """The header says how to turn the frames: here by 90 degrees clockwise."""
    write_video(place / "plain.mp4", size=(40, 60), codec="libx264", pixels="yuv420p", sound=True)
    content = bytearray((place / "plain.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 20] = np.array([0, 1 << 16, 0, -1 << 16, 0], ">i4").tobytes()
    (place / "turned.mp4").write_bytes(content)
    with video.open_video(place / "plain.mp4") as one, video.open_video(place / "turned.mp4") as other:
        for plain, turned in zip(video.read_frames(one), video.read_frames(other), strict=True):
            assert np.array_equal(np.rot90(plain.image, -1), turned.image)
    assert predict("turned.mp4", "--kind", "mask") == 0
    assert "turned.mp4: the results have no sound" in capsys.readouterr().err
    assert read_video("predictions/turned_mask.mkv", "gray")[0][0].shape == (60, 40)


def test_what_cannot_be_done_is_named(place, capsys, monkeypatch):
    write_video(place / "clip.mkv")
    (place / "cut.mkv").write_bytes((place / "clip.mkv").read_bytes()[:60])
    (place / "text.mp4").write_text("not a video")
    with av.open("sound.mkv", "w") as container:
        write_silence(container, container.add_stream("aac", rate=8000))
    with av.open("empty.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 41, 50, "bgr0"
        write_silence(container, container.add_stream("aac", rate=8000))
    for words, problem in (
        (["cut.mkv"], "cut.mkv: "),
        (["empty.mkv"], "empty.mkv: has no frames"),
        (["text.mp4"], "text.mp4: cannot be decoded"),
        (["sound.mkv"], "sound.mkv: contains no video"),
        (["clip.mkv", "--kind", "mask,labelme"], "clip.mkv: videos get mask, overlay, cutout, not labelme"),
        (["clip.mkv", "--bands", "3", "2", "1"], "videos have red, green and blue, not chosen bands"),
        (["clip.mkv", "--mask-format", "palette"], "videos have no palette; use --mask-format ids or binary"),
    ):
        assert predict(*words) == 1
        err = capsys.readouterr().err
        assert f"skipped: {words[0]}: " in err and problem in err and "Traceback" not in err
        assert not list((place / "predictions").iterdir())
    monkeypatch.setitem(sys.modules, "av", None)
    assert predict("clip.mkv") == 1
    assert "clip.mkv: reading videos needs one more package" in capsys.readouterr().err
