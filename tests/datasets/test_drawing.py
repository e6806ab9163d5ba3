"""The drawn faces: signals, action units and pictures."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from rdbench.datasets import drawing
from rdbench.datasets.drawing import exact
from rdbench.datasets.drawing.action_units import UNITS, activations
from rdbench.datasets.drawing.canvas import blend, faded
from rdbench.datasets.drawing.colour import yuv420p
from rdbench.datasets.drawing.draws import normal, texture, uniform, white_noise
from rdbench.datasets.drawing.head import _mean_of_four
from rdbench.datasets.drawing.layers import STEPS, Sliding
from rdbench.datasets.drawing.picture import Recording
from rdbench.datasets.drawing.signals import FRAMES
from rdbench.datasets.drawing.subject import generator
from rdbench.datasets.synthetic import COUNTS

EVERYONE = [(partition, index) for partition, count in COUNTS.items() for index in range(1, count + 1)]
FEW = [("train", 1), ("train", 7), ("dev", 2), ("test", 3)]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return [Recording(*key) for key in EVERYONE[::3]]


def test_no_two_recordings_share_a_seed() -> None:
    drawn = {
        (key, stream): generator(*key, stream).integers(2**62)
        for key in EVERYONE
        for stream in ("appearance", "affect", "motion", "texture", "noise")
    }
    assert len(set(drawn.values())) == len(drawn)


@pytest.mark.long
def test_labels_are_smooth_and_use_their_range(recordings: list[Recording]) -> None:
    for recording in recordings:
        for signal in (recording.affect.arousal, recording.affect.valence):
            assert signal.shape == (FRAMES,)
            assert np.abs(signal).max() <= 1
            assert signal.max() - signal.min() > 1.5
            assert signal.std() > 0.4
            assert signal[:150].std() > 0.25
            assert np.abs(np.diff(signal)).max() < 0.2


@pytest.mark.long
def test_labels_say_little_about_each_other(recordings: list[Recording]) -> None:
    pairs = [np.corrcoef(r.affect.arousal, r.affect.valence)[0, 1] for r in recordings]
    assert np.abs(pairs).max() < 0.4
    arousal = np.concatenate([r.affect.arousal for r in recordings])
    valence = np.concatenate([r.affect.valence for r in recordings])
    assert abs(np.corrcoef(arousal, valence)[0, 1]) < 0.1


@pytest.mark.long
def test_what_is_no_expression_carries_no_label(recordings: list[Recording]) -> None:
    """Over a third of all people: chance alone reaches 0.15 in 40 comparisons."""
    for target in ("arousal", "valence"):
        label = np.concatenate([getattr(r.affect, target) for r in recordings])
        for name in vars(recordings[0].motion):
            moved = np.concatenate([getattr(r.motion, name) for r in recordings])
            assert abs(np.corrcoef(label, moved)[0, 1]) < 0.18, (target, name)
        boxes = np.concatenate([r.boxes(360) - r.boxes(360).mean(axis=0) for r in recordings])
        for column in range(4):
            assert abs(np.corrcoef(label, boxes[:, column])[0, 1]) < 0.18, (target, column)


def test_each_target_drives_its_own_units(recordings: list[Recording]) -> None:
    expected = {
        "AU12": ("valence", 1),
        "AU6": ("valence", 1),
        "AU4": ("valence", -1),
        "AU15": ("valence", -1),
    }
    expected |= {
        "AU1": ("arousal", 1),
        "AU5": ("arousal", 1),
        "AU26": ("arousal", 1),
        "AU43": ("arousal", -1),
    }
    for recording in recordings[:8]:
        units = activations(recording.affect, recording.subject.expressiveness)
        assert set(units) == set(UNITS)
        for unit, (target, sign) in expected.items():
            assert sign * np.corrcoef(units[unit], getattr(recording.affect, target))[0, 1] > 0.7, unit


def test_boxes_hold_the_face_and_stay_in_the_picture(recordings: list[Recording]) -> None:
    for recording in recordings:
        boxes = recording.boxes(360)
        assert boxes.shape == (FRAMES, 4)
        assert np.array_equal(boxes[:, 2], boxes[:, 3])
        assert boxes[:, 2].min() > 120
        assert boxes[:, 2].max() < 200
        assert boxes[:, :2].min() >= 0
        assert (boxes[:, 0] + boxes[:, 2]).max() <= 640
        assert (boxes[:, 1] + boxes[:, 3]).max() <= 360
        assert recording.boxes(720) == pytest.approx(2 * boxes)


@pytest.mark.parametrize(("partition", "index"), FEW)
def test_a_face_is_found_where_it_is_said_to_be(partition: str, index: int) -> None:
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    recording = Recording(partition, index)
    picture = next(recording.frames(360, 1))
    found = cascade.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), 1.1, 4, minSize=(90, 90))
    x, y, w, h = recording.boxes(360)[0]
    centres = [(fx + fw / 2, fy + fh / 2) for fx, fy, fw, fh in found]
    assert any(abs(cx - x - w / 2) < w / 4 and abs(cy - y - h / 2) < h / 4 for cx, cy in centres)


def test_nothing_outside_the_box_shows_what_is_felt() -> None:
    """Two feelings in one and the same moment: the pictures differ in the box alone."""
    calm, excited = Recording("train", 5), Recording("train", 5)
    calm.affect.arousal[:], excited.affect.arousal[:] = -1, 1
    calm.affect.valence[:], excited.affect.valence[:] = -1, 1
    for first, second, box in zip(calm.frames(360, 3), excited.frames(360, 3), calm.boxes(360), strict=False):
        different = np.abs(first.astype(int) - second).max(axis=2)
        left, top = np.floor(box[:2]).astype(int)
        right, bottom = np.ceil(box[:2] + box[2:]).astype(int)
        assert different[top:bottom, left:right].max() > 60
        different[top:bottom, left:right] = 0
        assert different.max() == 0


def test_both_heights_show_the_same() -> None:
    recording = Recording("dev", 1)
    small, large = next(recording.frames(360, 1)), next(recording.frames(720, 1))
    assert large.shape == (720, 1280, 3)
    halved = cv2.resize(large, (640, 360), interpolation=cv2.INTER_AREA)
    assert np.abs(halved.astype(int) - small).mean() < 3


@pytest.mark.parametrize("count", [1, 4])
def test_the_first_frames_are_the_same_however_many_follow(count: int) -> None:
    recording = Recording("test", 2)
    for few, many in zip(recording.frames(360, count), recording.frames(360, 7), strict=False):
        assert np.array_equal(few, many)


# What is drawn is the same on every processor.

SHOWN = [
    ("train", 1, 360, 3),
    ("train", 7, 360, 3),
    ("dev", 3, 360, 3),
    ("test", 1, 360, 3),
    ("test", 3, 720, 1),
]
DRAWN = {
    "train_1_360_3": "0c3924a0182dee2c3042d90743049a6f80a0f51122356ffe5c53dfb1fbfa5e32",
    "train_7_360_3": "5b57055ebe4bc3f757578f68423f6ffc2d645687bc4101f41470d5674044d311",
    "dev_3_360_3": "d5325975e1edf677560e7c6abc2fcd7992016612d98356c4df03e581d3263008",
    "test_1_360_3": "febcd5f93834362330c79ff2e3c0635d0affef6a5a9ba8be114fe36e6e7e24ad",
    "test_3_720_1": "f6fddd108c1f24ef77bae817695ea803cbceaa6252c05798bce16b944b11369a",
}
"""What SHOWN is on every processor. Another version of OpenCV or numpy may draw something else; another processor
must not."""


def hashes(shown: Iterable[tuple[str, int, int, int]]) -> dict[str, str]:
    """SHA-256 of labels, moves, boxes, frames and their planes, for partition, number, height and count of frames."""
    out = {}
    for partition, index, height, count in shown:
        recording = Recording(partition, index)
        digest = hashlib.sha256()
        for signal in (*vars(recording.affect).values(), *vars(recording.motion).values()):
            digest.update(signal.tobytes())
        digest.update(recording.boxes(height).tobytes())
        for frame in recording.frames(height, count):
            digest.update(np.ascontiguousarray(frame).tobytes() + yuv420p(frame))
        out[f"{partition}_{index}_{height}_{count}"] = digest.hexdigest()
    return out


def numpy_features() -> list[str]:
    """The instruction sets that numpy chooses among and this processor has."""
    from numpy._core import _multiarray_umath as core

    return [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]


def opencv_features() -> list[str]:
    """The same for OpenCV, from the oldest to the newest."""
    return [name[1:] for name in cv2.getCPUFeaturesLine().split() if name[0] == "*" and name[-1] != "?"]


def hashes_elsewhere(
    shown: list[tuple[str, int, int, int]],
    variables: dict[str, str],
    optimised: bool = True,
    threads: int = 1,
) -> dict[str, str]:
    """`hashes` in a process of its own, in which `variables` hide a part of the processor."""
    code = """
import json, sys
import cv2
sys.path.insert(0, sys.argv[1])
import test_drawing as here
features = [here.opencv_features(), here.numpy_features()]
optimised, threads, shown = json.load(sys.stdin)
cv2.setUseOptimized(optimised)
cv2.setNumThreads(threads)
cv2.setNumThreads = lambda _: None
print(json.dumps([features, cv2.getNumThreads(), cv2.useOptimized(), here.hashes(shown)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        input=json.dumps([optimised, threads, shown]),
        env={**os.environ, **variables},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    features, threads_there, optimised_there, result = json.loads(done.stdout.splitlines()[-1])
    hidden = [variables.get(name, "").replace(",", " ").split() for name in ("OPENCV_CPU_DISABLE", NUMPY)]
    for left, gone in zip(features, hidden, strict=True):
        assert not set(left) & set(gone), "the variable hides nothing"
    assert (threads_there, optimised_there) == (threads, optimised)
    return result


NUMPY = "NPY_DISABLE_CPU_FEATURES"
GLIBC = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F,-AVX"}
"""The C library's exponentials and sines without fused multiplication."""


def processors() -> list[dict[str, str]]:
    """What hides more and more of this processor, down to the baseline of all libraries."""
    older = []
    opencv, numeric = opencv_features(), numpy_features()
    for kept in range(max(len(opencv), len(numeric)) - 1, -1, -1):
        older.append(
            {
                "OPENCV_CPU_DISABLE": ",".join(opencv[kept:]),
                NUMPY: " ".join(numeric[min(kept, len(numeric)) :]),
                "OPENBLAS_CORETYPE": "Nehalem",
            }
        )
    older[-1] |= GLIBC | {"OPENCV_IPP": "disabled"}
    return older


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return hashes(SHOWN)


def test_frames_are_those_that_were_drawn_elsewhere(drawn: dict[str, str]) -> None:
    assert drawn == DRAWN, f"drawn by OpenCV {cv2.__version__} and numpy {np.__version__}"


@pytest.mark.long
def test_an_old_processor_draws_the_same(drawn: dict[str, str]) -> None:
    assert hashes_elsewhere(SHOWN, processors()[-1]) == drawn


@pytest.mark.long
def test_unoptimised_paths_and_several_threads_draw_the_same(drawn: dict[str, str]) -> None:
    assert hashes_elsewhere(SHOWN, {}, optimised=False, threads=4) == drawn


@pytest.mark.long
def test_every_clip_is_the_same_with_every_instruction_set() -> None:
    """All frames with nothing hidden and with all of it, the first second with each set in between."""
    whole, second = ([(*key, 360, count) for key in EVERYONE] for count in (FRAMES, 25))
    here, begun = hashes_elsewhere(whole, {}), hashes_elsewhere(second, {"OPENCV_IPP": "disabled"}, threads=3)
    assert len(set(here.values())) == len(set(begun.values())) == len(EVERYONE)
    *between, oldest = processors()
    assert hashes_elsewhere(whole, oldest) == here
    for variables in between:
        assert hashes_elsewhere(second, variables) == begun, variables
    assert hashes_elsewhere(second, GLIBC, optimised=False) == begun


EXACT = {
    "np": """abs all any arange argmin argsort array asarray ascontiguousarray broadcast_arrays broadcast_to clip
    column_stack concatenate cumsum diff divide dstack empty empty_like flatnonzero float32 float64 floor frexp full full_like gradient int16
    int32 int64 ldexp lib linspace max maximum min minimum multiply ndarray newaxis ones ones_like pad pi random rint
    roll searchsorted sign sqrt stack take_along_axis uint16 uint8 unique where zeros zeros_like ceil""",
    "math": "ceil factorial floor pi sqrt",
    "cv2": """CV_16SC2 CV_32F CV_64F ALGO_HINT_ACCURATE COLOR_BGRA2BGR COLOR_GRAY2BGR FILLED GaussianBlur INTER_AREA
    INTER_LINEAR LINE_8 LINE_AA absdiff add addWeighted bitwise_not blur boxFilter convertMaps convertScaleAbs cvtColor
    extractChannel fillPoly line max merge mixChannels polylines rectangle remap resize sepFilter2D
    setNumThreads split subtract transform typing""",
    "rng": "bit_generator choice integers permutation random standard_normal",
}
"""What takes exact steps, or is only given what leaves it nothing to round (see `exact`)."""


@pytest.mark.parametrize(
    "source", sorted(Path(drawing.__file__).parent.glob("*.py")), ids=lambda path: path.stem
)
def test_drawing_calls_nothing_that_processors_do_otherwise(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom | ast.Import):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
            known = {"__future__", "collections", "cv2", "dataclasses", "math", "numpy", "rdbench", "typing"}
            assert module.split(".")[0] in known
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in EXACT:
            assert node.attr in EXACT[node.value.id].split(), f"line {node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("mean", "std", "var", "dot", "prod"), f"line {node.lineno}"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.MatMult):
            left, right = (ast.unparse(side) for side in (node.left, node.right))
            assert (source.stem, left) in WHOLE, f"line {node.lineno}: {left}, {right}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cv2.GaussianBlur":
            assert "hint=cv2.ALGO_HINT_ACCURATE" in ast.unparse(node), f"line {node.lineno}"


WHOLE = {("exact", "-1"), ("exact", "windows"), ("draws", "box[0] * box[1]")}
"""Powers and matrix products of whole numbers."""

FLOATS = st.lists(st.floats(-50, 50), min_size=1, max_size=40).map(np.array)


@given(FLOATS)
def test_functions_of_exact_steps_are_those_of_numpy(x: np.ndarray) -> None:
    assert exact.exp(x) == pytest.approx(np.exp(x), rel=1e-15)
    assert exact.sine(x) == pytest.approx(np.sin(x), abs=1e-15)
    assert exact.cosine(x) == pytest.approx(np.cos(x), abs=2e-14)
    assert exact.log(np.abs(x) + 1e-3) == pytest.approx(np.log(np.abs(x) + 1e-3), rel=1e-15, abs=1e-15)
    assert exact.power(np.abs(x), 1.7) == pytest.approx(np.abs(x) ** 1.7, rel=1e-14)
    grid = np.linspace(-40, 40, 17)
    assert exact.interpolate(x, grid, grid * grid) == pytest.approx(np.interp(x, grid, grid * grid))


@given(st.integers(0, 2**32))
def test_curves_and_blurs_of_exact_steps_are_those_of_scipy_and_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 2, (3, 8)), axis=1)
    levels = np.round(rng.normal(0, 1, (3, 8)), 1)
    at = np.linspace(times[:, 0].max(), times[:, -1].min(), 40)
    expected = [PchipInterpolator(t, v)(at) for t, v in zip(times, levels, strict=True)]
    assert exact.rising_curve(times, levels, at) == pytest.approx(np.array(expected), abs=1e-12)
    corners = rng.normal(0, 1, (8, 2))
    corners[-1] = corners[0]
    at = np.linspace(times[0, 0], times[0, -1], 50)
    spline = CubicSpline(times[0], corners, bc_type="periodic")(at)
    assert exact.periodic_spline(times[0], corners, at) == pytest.approx(spline, abs=1e-11)
    sigma = rng.uniform(0.6, 5)
    signal = rng.uniform(-2, 2, 90)
    weights = exact.gaussian_weights(sigma, 20)
    edge = len(weights) // 2
    expected = gaussian_filter1d(signal, sigma)[edge:-edge]
    assert exact.smoothed(signal, weights) == pytest.approx(expected, abs=1e-5)
    plane = rng.uniform(-2, 2, (40, 50))
    size = 2 * int(4 * sigma + 0.5) + 1
    expected = cv2.GaussianBlur(plane, (size, size), sigma)
    assert exact.blurred(plane, sigma) == pytest.approx(expected, abs=6e-3)


def test_bytes_are_multiplied_and_blended_in_whole_numbers() -> None:
    first, second = (side.astype(np.uint8) for side in np.meshgrid(np.arange(256), np.arange(256)))
    product = first.astype(int) * second
    assert np.array_equal(faded(first, second), (product + 127) // 255)
    image, layer = (
        np.random.default_rng(seed).integers(0, 256, (50, 60, 3), dtype=np.uint8) for seed in (1, 2)
    )
    mask = np.random.default_rng(3).integers(0, 256, (50, 60), dtype=np.uint8)
    share = mask[..., None].astype(int)
    mixed = (image * (255 - share) + layer * share + 127) // 255
    blend(image, mask, layer)
    assert np.array_equal(image, mixed)


def test_four_pixels_are_averaged_in_whole_numbers() -> None:
    image = np.random.default_rng(4).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    rows = (image[1:].astype(int) + image[:-1] + 1) >> 1
    assert np.array_equal(_mean_of_four(image), (rows[:, 1:] + rows[:, :-1]) >> 1)


def test_colours_are_converted_in_whole_numbers() -> None:
    picture = np.random.default_rng(5).integers(0, 256, (360, 640, 3), dtype=np.uint8)
    luma_of = np.array([0.0722, 0.7152, 0.2126])
    blue = (np.array([1, 0, 0]) - luma_of) / 1.8556
    red = (np.array([0, 0, 1]) - luma_of) / 1.5748
    weights = np.rint(np.stack([219 * luma_of, 224 * blue, 224 * red]) / 255 * (1 << 10)).astype(int)
    halved = (picture.reshape(180, 2, 320, 2, 3).astype(int).sum(axis=(1, 3)) + 2) >> 2
    luma = (picture.astype(int) @ weights[0] + (16 << 10) + (1 << 9)) >> 10
    chroma = (halved @ weights[1:].T + (128 << 10) + (1 << 9)) >> 10
    planes = np.frombuffer(yuv420p(picture), np.uint8)
    assert np.array_equal(planes[: 360 * 640].reshape(360, 640), luma)
    assert np.array_equal(planes[360 * 640 :].reshape(2, 180, 320), np.moveaxis(chroma, 2, 0))
    assert weights[0].sum() == 879, "white is 235"
    assert not weights[1:].sum(axis=1).any(), "grey is grey"


def test_a_layer_slides_in_quarters_of_a_pixel() -> None:
    image = np.random.default_rng(6).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    sliding = Sliding(image)
    for left, top in ((0.0, 0.0), (3.25, -1.5), (-0.75, 2.4), (7.9, 0.1)):
        column, row, layer = sliding.at(left, top)
        across, down = (round(at * STEPS) / STEPS for at in (left, top))
        shift = np.array([[1, 0, across - column], [0, 1, down - row]], np.float32)
        expected = cv2.warpAffine(image, shift, (40, 30)).astype(int)
        assert np.abs(layer - expected).max() <= 1
        assert 0 <= across - column < 1
        assert 0 <= down - row < 1


def test_draws_have_the_distributions_that_they_name() -> None:
    rng = generator("test", 1, "texture")
    even = uniform(rng, 2.0, 5.0, 20000)
    assert 2 <= even.min() < 2.01
    assert 4.99 < even.max() < 5
    assert even.mean() == pytest.approx(3.5, abs=0.02)
    bell = normal(rng, 1.0, 2.0, 20000)
    assert bell.mean() == pytest.approx(1, abs=0.05)
    assert bell.std() == pytest.approx(2, abs=0.05)
    white = white_noise(rng, 150, 151)
    assert white.mean() == pytest.approx(0, abs=4)
    assert white.std() == pytest.approx(147.8, rel=0.02)
    assert np.abs(np.corrcoef(white[:, 1:].ravel(), white[:, :-1].ravel())[0, 1]) < 0.02
    for grain, shape in (((9, 14), (245, 432)), ((380, 280), (410, 305)), ((7, 12), (720, 1280))):
        smooth = texture(rng, grain, shape)
        assert smooth.shape == shape
        assert np.sqrt((smooth**2).mean()) == pytest.approx(1, abs=0.01)
        assert np.abs(np.diff(smooth, axis=0)).max() < 12 * grain[0] / shape[0]
