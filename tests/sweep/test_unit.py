"""One unit of work: clips and doubles in, rows out; whatever goes wrong is a row with its reason."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from made_videos import BT709, LOSSLESS, Clips, boxes_at, clip_of, lavfi, moving
from PIL import Image

from rdbench.backends.protocol import Context, Input
from rdbench.codecs import coder
from rdbench.codecs.profiles import load_profiles
from rdbench.errors import InputError
from rdbench.stats import metrics
from rdbench.sweep import bench, unit
from rdbench.sweep.bench import evaluate, let_go
from rdbench.sweep.experiment import UNCODED, Condition
from rdbench.sweep.unit import Setup, Unit, face_margin, look
from rdbench.tables.predictions import unpack
from rdbench.tables.schema import ENCODES, MOMENTS, SCORES
from rdbench.video import planes
from rdbench.video.clip import Labels
from rdbench.video.prepared import prepare
from rdbench.video.views import face_pictures, pristine_views

PROFILES = load_profiles()


class Double:
    """A recogniser that measures: brightness and contrast of each picture, and how far a session is."""

    classes: tuple[str, ...] = ()
    weights = "none"
    trained_on = "nothing"

    def __init__(
        self,
        name="double",
        targets=("arousal", "valence"),
        size=96,
        colour="luma",
        margin=0.0,
        independent=False,
    ):
        self.name, self.targets = name, targets
        self.input = Input(size, colour, margin, independent)
        self.sessions: list[list[np.ndarray]] = []
        self.contexts: list[Context] = []

    def start(self, context):
        batches: list[np.ndarray] = []
        self.sessions.append(batches)
        self.contexts.append(context)

        def session(frames):
            batches.append(frames)
            return self.answer(frames, sum(map(len, batches)))

        return session

    def answer(self, frames, total):
        flat = frames.reshape(len(frames), -1)
        return np.column_stack([10 * flat.mean(axis=1), 10 * flat.std(axis=1)])


class Counter(Double):
    def answer(self, frames, total):
        count = np.arange(total - len(frames), total, dtype=np.float64)
        return np.column_stack([count, -count])


class Wrong(Double):
    def answer(self, frames, total):
        return np.zeros((len(frames), 3))


class Brightener(Double):
    def restored(self, frames, context):
        return np.minimum(frames + context.factor / 10, 1)


class Describer(Double):
    """Descriptors: how bright each sixth of the picture's rows is."""

    descriptor = 6
    agreement = True

    def answer(self, frames, total):
        return np.column_stack([band.mean(axis=(1, 2)) for band in np.array_split(frames, 6, axis=1)])


class Classifier(Double):
    classes = ("dark", "middling", "bright")

    def answer(self, frames, total):
        level = 1000 * (frames.reshape(len(frames), -1).mean(axis=1) - 0.5)
        return np.column_stack([np.maximum(-level, 0), np.full(len(frames), 2.0), np.maximum(level, 0)])


@pytest.fixture
def doubles(monkeypatch):
    """Back-ends by name, in the place of those that are installed."""
    known = {
        "double": Double(),
        "counter": Counter("counter"),
        "wrong": Wrong("wrong"),
        "brightener": Brightener("brightener"),
        "classifier": Classifier("classifier", ("brightness",)),
        "describer": Describer("describer", ("similarity",), independent=True),
        "independent": Double("independent", independent=True),
        "colour": Double("colour", size=48, colour="rgb", margin=0.4),
    }
    monkeypatch.setattr(unit, "_open", lambda name, weights, device: known[name])
    return known


def labelled(frames=25, targets=("valence", "arousal")) -> Labels:
    times = np.arange(frames) / 25
    waves = [np.sin(3 * times + number) for number in range(len(targets))]
    return Labels(times, np.column_stack(waves), targets)


def setup(*clips, backends=("double",), **options) -> Setup:
    return Setup(Clips(*(clips or (clip_of(moving()),))), None, PROFILES, tuple(backends), **options)


def work(region, factor, *settings, clip="one") -> Unit:
    conditions = [Condition(region, factor, *(UNCODED if s is None else s)) for s in settings]
    return Unit(clip, region, factor, tuple(conditions))


CRF = ("x264", "ra", "crf", 30.0)
QP = ("x265", "ra", "qp", 40.0)


def rows_of(result, table, count=None):
    rows = result.rows.get(table, [])
    if count is not None:
        assert len(rows) == count, result.rows.get("failures")
    return rows


def test_faces_are_coded_at_the_size_that_is_asked_for(doubles):
    for region, differs in (("face", True), ("frame", False)):
        usual = evaluate(setup(), work(region, 2, None, CRF)).rows["encodes"]
        large = evaluate(setup(face_size=128), work(region, 2, None, CRF)).rows["encodes"]
        for before, after in zip(usual, large, strict=True):
            assert (before["encode"] != after["encode"]) is differs
            assert (before.get("payload_bits") != after.get("payload_bits")) is (
                differs and after["codec"] == "x264"
            )
            if differs:
                assert (before["width"], before["height"]) == (48, 48)
                assert (after["width"], after["height"]) == (64, 64)
                assert after["face_px"] == pytest.approx(before["face_px"] * 128 / 96)


def agreement(scores):
    return metrics.ccc(np.array([[row[name] for name in MOMENTS] for row in scores], dtype=float))


@pytest.mark.parametrize("region", ["face", "frame"])
def test_with_the_constant_back_end_everything_is_accounted_for(tmp_path, region):
    clip = clip_of(moving(), labels=labelled())
    asked = setup(clip, backends=["constant"], keep=tmp_path)
    result = evaluate(asked, work(region, 2, None, CRF, QP))
    assert "failures" not in result.rows
    encodes = rows_of(result, "encodes", 3)
    for row in encodes:
        assert set(row) <= set(ENCODES)
        assert (row["frames"], row["seconds"], row["masked_frames"]) == (25, 1.0, 0)
        assert (row["clip"], row["subject"], row["partition"]) == ("one", "subject-one", "test")
        assert (row["region"], row["factor"], row["timing"]) == (region, 2, "constant")
        assert row["source"] == prepare(clip).source
        assert (row["width"], row["height"]) == ((48, 48) if region == "face" else (80, 60))
        assert row["face_px"] == (48 if region == "face" else 32)
        assert (row["box_bits"] is None) == (region == "face")
        assert 15 < row["psnr"] < 60
    uncoded, crf, qp = encodes
    assert (uncoded["rate_status"], uncoded.get("payload_bits")) == ("uncoded", None)
    for row, suffix, kinds in ((crf, ".h264", {1, 5, 7, 8}), (qp, ".hevc", {*range(22), 32, 33, 34})):
        assert row["rate_status"] == "ok"
        stream = (tmp_path / f"{row['encode']}{suffix}").read_bytes()
        units = re.split(rb"\x00*\x00\x00\x01", stream)[1:]
        kind = (lambda u: u[0] & 31) if suffix == ".h264" else (lambda u: u[0] >> 1 & 63)
        assert row["payload_bits"] == 8 * sum(len(u) for u in units if kind(u) in kinds)
        parts = ("payload_bits", "framing_bits", "informational_bits", "filler_bits")
        assert row["stream_bits"] == 8 * len(stream) == sum(row[part] for part in parts)
        assert (
            0 < row["parameter_bits"] < row["first_key_bits"] + row["parameter_bits"] <= row["payload_bits"]
        )
        assert row["psnr"] <= uncoded["psnr"] + 0.1
        assert row["profile"] == PROFILES[row["codec"]].digest
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        [f"{crf['encode']}.h264", f"{qp['encode']}.hevc"]
    )
    scores = rows_of(result, "scores", 6)
    for row in scores:
        assert set(row) <= set(SCORES)
        assert (row["backend"], row["gold"], row["n"], row["m2_pred"]) == ("constant", "labels", 25, 0.0)
    assert np.all(agreement(scores) == 0)
    assert {row["encode"] for row in scores} == {row["encode"] for row in encodes}
    assert len(rows_of(result, "timings", 3)) == len(rows_of(result, "predictions", 3))


def test_labels_meet_the_predictions_of_their_own_frames(doubles, tmp_path):
    clip = clip_of(moving(), labels=labelled())
    result = evaluate(setup(clip), work("frame", 1, None))
    (row,) = rows_of(result, "predictions", 1)
    kept = unpack(row["data"])
    frames = np.concatenate(list(pristine_views(prepare(clip), Input())))
    luma = np.clip((frames.astype(np.float64) - 16) / 219, 0, 1).reshape(25, -1)
    wanted = 10 * np.column_stack([luma.mean(axis=1), luma.std(axis=1)])
    assert np.allclose(kept["prediction"], wanted, atol=1e-4)
    gold = clip.labels.values[:, [1, 0]]
    assert np.array_equal(kept["gold"], gold)
    assert np.array_equal(kept["times"], clip.labels.times)
    for score, p, g in zip(rows_of(result, "scores", 2), wanted.T, gold.T, strict=True):
        direct = 2 * np.cov(p, g, bias=True)[0, 1] / (p.var() + g.var() + (p.mean() - g.mean()) ** 2)
        assert agreement([score])[0] == pytest.approx(direct, abs=1e-4)


@pytest.mark.parametrize("region", ["face", "frame"])
def test_pristine_frames_agree_with_the_pristine_reference_and_coded_ones_less(doubles, region):
    coded = [("x264", "ra", "qp", float(qp)) for qp in (10, 50)]
    result = evaluate(setup(), work(region, 1, None, *coded))
    encodes, scores = rows_of(result, "encodes", 3), rows_of(result, "scores", 6)
    assert {row["gold"] for row in scores} == {"pristine:double"}
    assert encodes[0]["psnr"] is None
    exact = scores[:2]
    assert all(row["m2_pred"] == row["m2_gold"] == row["cov"] > 0 for row in exact)
    arousal = agreement([row for row in scores if row["target"] == "arousal"])
    assert arousal[0] == 1
    assert arousal[0] > arousal[1] > arousal[2]
    quality = [row["psnr"] for row in encodes[1:]]
    assert quality == sorted(quality, reverse=True)
    assert [row["psnr_coded"] for row in encodes[1:]] == pytest.approx(quality, abs=1e-9)
    assert [row["payload_bits"] for row in encodes[1:]] == sorted(
        [row["payload_bits"] for row in encodes[1:]], reverse=True
    )


def test_equal_units_give_equal_rows(doubles):
    asked = work("frame", 3, None, ("x264", "ra", "2pass", 60.0), QP)
    first, second = (evaluate(setup(backends=["double", "colour"]), asked) for _ in range(2))
    for table in ("encodes", "scores", "predictions"):
        assert rows_of(first, table) == rows_of(second, table)
    assert len(rows_of(first, "scores")) == 12
    # Nor do they hang on the conditions or back-ends beside them.
    alone = evaluate(setup(backends=["colour"]), work("frame", 3, QP))
    assert rows_of(alone, "encodes") == rows_of(first, "encodes")[2:]
    assert rows_of(alone, "scores") == rows_of(first, "scores")[10:]


@pytest.mark.parametrize("room", [0, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("region", "factor"), [pytest.param("frame", 1, marks=pytest.mark.long), ("frame", 3), ("face", 2)]
)
def test_what_does_not_fit_the_work_folder_is_made_anew_and_no_row_differs(
    doubles, monkeypatch, region, factor, room
):
    asked = work(region, factor, None, CRF, QP, ("x264", "ra", "2pass", 60.0))

    def rows():
        backends = ["double", "colour"] if region == "frame" else ["double"]
        result = evaluate(setup(backends=backends, sample="one"), asked)
        assert "failures" not in result.rows
        return {name: found for name, found in result.rows.items() if name != "timings"}

    usual = rows()
    held = []
    tidy = bench._Shelf.tidy

    def noting(shelf):
        held.append(sum(file.stat().st_size for file in Path(shelf.folder.name).glob("*.yuv")))
        tidy(shelf)

    monkeypatch.setattr(bench._Shelf, "tidy", noting)
    monkeypatch.setattr(planes, "WORK_BYTES", room)
    assert rows() == usual
    assert len(held) == 4
    assert max(held) <= room
    assert (max(held) > 0) is (room > 0)


def test_an_encode_is_named_by_all_that_changes_it_and_by_no_back_end(doubles):
    def names(clip, *asked, backends=("double",)):
        return [
            row["encode"] for row in evaluate(setup(clip, backends=backends), work(*asked)).rows["encodes"]
        ]

    clip = clip_of(moving())
    variants = [("x264", "ra", "crf", 31.0), ("x264", "ld", "crf", 30.0), ("x264", "ra", "qp", 30.0), QP]
    found = [
        *names(clip, "face", 16, None, CRF, *variants),
        *names(clip, "face", 12, None),
        *names(clip, "frame", 16, None),
        *names(clip_of(moving(20)), "face", 16, None),
        *names(clip_of(moving(), labels=labelled()), "face", 16, None),
    ]
    assert len(set(found)) == len(found) == 10
    assert names(clip, "face", 16, None, backends=["counter"]) == found[:1]


# How much around the face


def test_in_region_face_a_margin_widens_what_is_coded(doubles):
    """The reference looks at the source with the back-end's margin; so must the picture that is coded."""
    doubles["wide"] = Double("wide", margin=0.5)
    result = evaluate(setup(backends=["wide"], sample="one"), work("face", 1, None, CRF))
    uncoded, coded = rows_of(result, "encodes", 2)
    prepared = prepare(clip_of(moving()))
    wanted = np.concatenate(list(pristine_views(prepared, Input(margin=0.5))))
    reference, seen = (np.concatenate(doubles["wide"].sessions[index]) for index in (1, 0))
    luma = np.clip((wanted.astype(np.float32) - 16) / np.float32(219), 0, 1)
    assert np.array_equal(seen, luma)
    assert np.array_equal(reference, luma)
    assert agreement(rows_of(result, "scores", 4)[:2]).tolist() == [1, 1]
    # The box of 64 pixels is two thirds of the crop, of which 96 pixels are coded.
    assert prepared.track.side == 64
    assert uncoded["face_px"] == coded["face_px"] == 64
    assert doubles["wide"].contexts[0] == Context(1, "face", 64, 25.0)
    (narrow,) = rows_of(evaluate(setup(), work("face", 1, CRF)), "encodes", 1)
    assert narrow["encode"] != coded["encode"]
    assert narrow["payload_bits"] != coded["payload_bits"]
    pictures = [
        np.concatenate(list(face_pictures(prepared, margin=margin).batches()))[:, : 96 * 96]
        for margin in (0.0, 0.5)
    ]
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 20
    assert np.array_equal(pictures[1].reshape(-1, 96, 96), wanted)


@pytest.mark.parametrize(
    "wanted", [Input(48, "rgb", 0.4), Input(112, "rgb", 0.2), Input(40, margin=1.0)], ids=str
)
def test_in_region_face_reference_and_uncoded_pictures_show_the_same_crop(doubles, wanted):
    doubles["other"] = Double("other", size=wanted.size, colour=wanted.colour, margin=wanted.margin)
    evaluate(setup(backends=["other"]), work("face", 1, None))
    seen, reference = (np.concatenate(sessions) for sessions in doubles["other"].sessions)
    # 96 pixels are coded: another size is resampled once more than the reference's.
    assert np.abs(seen - reference).mean() < 0.04
    moved = np.roll(reference, 2, axis=1)
    assert np.abs(seen - moved).mean() > 2 * np.abs(seen - reference).mean()


def test_an_encode_without_a_margin_keeps_its_name(doubles, monkeypatch):
    monkeypatch.setattr(bench.binary, "build", lambda: "a build")
    monkeypatch.setattr(bench.binary, "fingerprint", lambda: "0f")
    clip = clip_of(moving())
    monkeypatch.setattr(bench, "STAGE", 1)
    for region in ("face", "frame"):
        (row,) = rows_of(evaluate(setup(clip), work(region, 8, None)), "encodes", 1)
        identity = [1, "one", row["source"], region, 8, "none", "none", "none", 0.0, None, "a build 0f"]
        assert row["encode"] == hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
    # In region frame a margin is cut after decoding: the coded picture is the same.
    (wide,) = rows_of(evaluate(setup(clip, backends=["colour"]), work("frame", 8, None)), "encodes", 1)
    assert wide["encode"] == row["encode"]


def test_back_ends_that_want_other_crops_share_no_coded_face(doubles):
    assert face_margin([doubles["double"], doubles["counter"]]) == 0
    assert face_margin([doubles["colour"]]) == 0.4
    with pytest.raises(InputError) as error:
        face_margin([doubles["double"], doubles["counter"], doubles["colour"]])
    assert str(error.value) == (
        "In region face all back-ends see one coded crop, but double asks for a margin of 0 around the face and colour "
        "for one of 0.4; give each a run of its own, or take region frame."
    )


# Masks, segments, batches


def test_masked_frames_are_charged_and_not_scored(doubles):
    boxes = boxes_at(np.arange(100) / 25)
    whole = evaluate(setup(clip_of(moving(100), boxes)), work("frame", 2, CRF))
    boxes.xywh[20:90] = np.nan
    clip = clip_of(moving(100), boxes)
    track = prepare(clip).track
    result = evaluate(setup(clip), work("frame", 2, CRF))
    (row,), (other,) = rows_of(result, "encodes", 1), rows_of(whole, "encodes", 1)
    masked = int((~track.mask).sum())
    assert 60 < masked < 75
    assert (row["masked_frames"], row["frames"]) == (masked, 100)
    assert row["payload_bits"] == other["payload_bits"]
    assert {score["n"] for score in rows_of(result, "scores", 2)} == {100 - masked}
    kept = unpack(rows_of(result, "predictions", 1)[0]["data"])
    assert np.array_equal(np.isfinite(kept["prediction"]).all(axis=1), track.mask)
    assert np.array_equal(kept["mask"], track.mask)
    assert len(kept["bits"]) == 100
    assert kept["bits"].sum() == row["payload_bits"]


def test_a_long_absence_starts_a_session_anew(doubles):
    boxes = boxes_at(np.arange(100) / 25)
    boxes.xywh[20:90] = np.nan
    clip = clip_of(moving(100), boxes, labelled(100))
    segment = prepare(clip).track.segment
    result = evaluate(setup(clip, backends=["counter"]), work("face", 4, None))
    counted = unpack(rows_of(result, "predictions", 1)[0]["data"])["prediction"][:, 0]
    for number in (0, 1):
        assert np.array_equal(counted[segment == number], np.arange((segment == number).sum()))
    assert len(doubles["counter"].sessions) == 2


def test_a_short_absence_does_not(doubles):
    boxes = boxes_at(np.arange(75) / 25)
    boxes.xywh[30:60] = np.nan
    clip = clip_of(moving(75), boxes, labelled(75))
    evaluate(setup(clip, backends=["counter"]), work("face", 4, None))
    assert len(doubles["counter"].sessions) == 1


def test_batches_are_cut_by_the_recording_alone(doubles):
    clip = clip_of(moving(150), labels=labelled(150))
    for region, factor in (("face", 1), ("frame", 8)):
        double = doubles["double"]
        double.sessions.clear()
        evaluate(setup(clip), work(region, factor, None, CRF))
        assert [[len(batch) for batch in batches] for batches in double.sessions] == [[64, 64, 22]] * 2
        for batch in (batch for batches in double.sessions for batch in batches):
            assert batch.dtype == np.float32
            assert batch.shape[1:] == (96, 96)
            assert 0 <= batch.min() < batch.max() <= 1


def still(frames, changes):
    """A clip with a face in one place, of which each picture is shown for a while."""
    file = lavfi(f"testsrc2=s=160x120:r=25/{changes},fps=25,format=yuv420p,trim=end_frame={frames}",
                 *LOSSLESS, *BT709, "-fps_mode", "passthrough")  # fmt: skip
    boxes = boxes_at(np.arange(frames) / 25)
    boxes.xywh[:] = boxes.xywh[0]
    return file, boxes


@pytest.mark.parametrize("region", ["face", pytest.param("frame", marks=pytest.mark.long)])
def test_equal_frames_are_asked_for_once_where_that_changes_nothing(doubles, region):
    file, boxes = still(400, 5)
    clip = clip_of(file, boxes, labelled(400))
    result = evaluate(setup(clip, backends=["double", "independent"]), work(region, 2, None))
    shown = {name: np.concatenate(doubles[name].sessions[-1]) for name in ("double", "independent")}
    assert len(shown["double"]) == 400
    assert len(np.unique(shown["double"], axis=0)) == 80
    assert np.array_equal(shown["independent"], shown["double"][::5])
    assert [len(batch) for batch in doubles["independent"].sessions[-1]] == [64, 16]
    first, second = (unpack(row["data"])["prediction"] for row in rows_of(result, "predictions", 2))
    assert np.array_equal(first, second)
    moments = [[row[name] for name in MOMENTS] for row in rows_of(result, "scores", 4)]
    assert moments[:2] == moments[2:]


def test_frames_of_another_segment_are_asked_for_again(doubles):
    file, boxes = still(100, 100)
    boxes.xywh[20:90] = np.nan
    clip = clip_of(file, boxes, labelled(100))
    evaluate(setup(clip, backends=["independent"]), work("frame", 2, None))
    assert [[len(batch) for batch in batches] for batches in doubles["independent"].sessions] == [[1], [1]]


def test_rates_that_end_in_one_stream_are_looked_at_once(doubles, tmp_path):
    rates = [("x264", "ra", "abr", rate) for rate in (3e3, 5e3)]
    asked = setup(clip_of(moving(), labels=labelled()), keep=tmp_path, sample="one")
    result = evaluate(asked, work("frame", 8, *rates, CRF))
    first, second, other = rows_of(result, "encodes", 3)
    streams = [(tmp_path / f"{row['encode']}.h264").read_bytes() for row in (first, second, other)]
    assert streams[0] == streams[1] != streams[2]
    assert first["encode"] != second["encode"]
    differ = {name for name in first if first[name] != second[name]}
    assert differ <= {"encode", "rate", "command", "rate_status"}
    assert len(doubles["double"].sessions) == 2
    alone = evaluate(asked, work("frame", 8, rates[1]))
    for table in ("encodes", "scores", "predictions", "samples"):
        ours = [row for row in rows_of(result, table) if row["encode"] == second["encode"]]
        assert ours == rows_of(alone, table)


def test_a_back_end_knows_the_factor_the_region_and_the_face(doubles):
    clip = clip_of(moving(), labels=labelled())
    for region, factor, face_px in (("face", 4, 24.0), ("frame", 4, 16.0)):
        evaluate(setup(clip), work(region, factor, CRF))
        assert doubles["double"].contexts[-1] == Context(factor, region, face_px, 25.0)


def test_back_ends_of_other_inputs_see_their_own_pictures(doubles):
    result = evaluate(setup(backends=["double", "colour", "counter"]), work("frame", 2, CRF))
    assert [row["backend"] for row in rows_of(result, "predictions", 3)] == ["double", "counter", "colour"]
    batch = doubles["colour"].sessions[0][0]
    assert batch.shape == (25, 48, 48, 3)
    assert 0 <= batch.min() < batch.max() <= 1


def test_a_classifier_against_its_own_pristine_answers(doubles):
    result = evaluate(setup(backends=["classifier"]), work("frame", 1, None, ("x264", "ra", "qp", 51.0)))
    exact, coded = (np.array(json.loads(row["confusion"])) for row in rows_of(result, "scores", 2))
    assert np.array_equal(exact, np.diag(np.diag(exact)))
    assert exact.sum() == coded.sum() == 25
    assert np.array_equal(exact.sum(axis=1), coded.sum(axis=1))


def test_boxes_of_decoded_pictures_are_found_counted_and_held_and_cost_nothing(doubles, monkeypatch):
    """A detector that sees the stand-in for a face in the source and in every look but one of each coded stream."""
    asked = setup(backends=["double"])
    sent = evaluate(asked, work("frame", 1, None, CRF))
    count = iter(range(100))

    def see(luma):
        return [] if next(count) % 4 == 2 else [(40.0, 30.0, 48.0, 48.0)]

    monkeypatch.setattr("rdbench.video.faces.open_detector", lambda detector: see)
    found = evaluate(setup(backends=["double"], boxes="decoded"), work("frame", 1, None, CRF))
    for row, other in zip(rows_of(found, "encodes", 2), rows_of(sent, "encodes", 2), strict=True):
        assert (row["box_looks"], row["box_misses"], row["box_bits"]) == (4, 1, 0)
        assert "box_looks" not in other
        assert other["box_bits"] > 0
        assert row["encode"] != other["encode"]
        assert row.get("payload_bits") == other.get("payload_bits")
    for row, other in zip(rows_of(found, "scores", 4), rows_of(sent, "scores", 4), strict=True):
        assert (row["n"], row["gold"], row["m2_gold"]) == (other["n"], other["gold"], other["m2_gold"])
        assert row["mean_pred"] != other["mean_pred"], "another part of the picture was seen"
    still = evaluate(setup(backends=["double"], boxes="decoded"), work("face", 1, None))
    assert rows_of(still, "encodes", 1)[0].get("box_looks") is None


def test_a_detector_that_finds_nothing_scores_the_same_frames(doubles, monkeypatch):
    monkeypatch.setattr("rdbench.video.faces.open_detector", lambda detector: lambda luma: [])
    result = evaluate(setup(backends=["double"], boxes="decoded"), work("frame", 2, CRF))
    (row,) = rows_of(result, "encodes", 1)
    assert row["box_misses"] == row["box_looks"] == 4
    assert {score["n"] for score in rows_of(result, "scores", 2)} == {25}


def people(count=5, **options) -> list:
    """Clips of different patterns, each of its own subject."""
    graphs = ("testsrc2", "smptebars", "rgbtestsrc", "mandelbrot", "yuvtestsrc")
    made = []
    for number, graph in enumerate(graphs[:count]):
        video = lavfi(f"{graph}=s=160x120:r=25,format=yuv420p,trim=end_frame=12", *LOSSLESS, *BT709)
        made.append(
            dataclasses.replace(clip_of(video, **options), name=f"clip{number}", subject=f"person{number}")
        )
    return made


def test_verification_is_what_a_plain_script_finds_and_its_threshold_knows_nothing_of_the_reported(doubles):
    made = people()
    names = tuple(clip.name for clip in made)
    asked = setup(*made, backends=["describer"], cohort=names)
    result = evaluate(asked, work("frame", 1, None, ("x264", "ra", "qp", 51.0), clip="clip0"))
    describe = Describer("plain", ("similarity",)).answer
    pristine = [
        describe(
            np.concatenate(
                [unit.as_float(chunk) for chunk in pristine_views(prepare(clip), Input(independent=True))]
            ),
            0,
        )
        for clip in made
    ]

    def cosine(a, b):
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    others = pristine[1:]
    wrong = [
        cosine(a, b) for i, one in enumerate(others) for other in others[i + 1 :] for a in one for b in other
    ]
    kept = [unpack(row["data"]) for row in rows_of(result, "predictions", 2)]
    limit = float(kept[0]["threshold"])
    assert np.mean(np.array(wrong) > limit + 1e-6) <= 0.01
    assert limit == pytest.approx(np.quantile(wrong, 0.99, method="higher"), abs=1e-6)
    coded = doubles["describer"].sessions[-1]
    expected = [cosine(a, b) for a, b in zip(describe(np.concatenate(coded), 0), pristine[0], strict=True)]
    assert kept[1]["prediction"][:, 0] == pytest.approx(expected, abs=1e-5)
    rows = [row for row in rows_of(result, "scores", 4) if row["target"] == "identity"]
    accepted = [json.loads(row["confusion"])[0] for row in rows]
    assert accepted[0] == [12, 0]
    assert accepted[1] == [
        sum(value > limit for value in expected),
        sum(value <= limit for value in expected),
    ]


def test_a_reported_subject_of_the_cohort_has_no_say_in_its_own_threshold(doubles):
    made = people()
    alone = setup(*made, backends=["describer"], cohort=tuple(clip.name for clip in made[1:]))
    everybody = setup(*made, backends=["describer"], cohort=tuple(clip.name for clip in made))
    for_one = [unit._verification(asked, "person0", "describer")[0] for asked in (alone, everybody)]
    assert for_one[0] == for_one[1]
    thresholds = {unit._verification(everybody, f"person{n}", "describer")[0] for n in range(5)}
    assert len(thresholds) > 1


def test_one_person_under_two_names_is_told(doubles):
    made = people()
    twin = dataclasses.replace(made[0], name="twin", subject="twin")
    asked = setup(*made, twin, backends=["describer"], cohort=(*(clip.name for clip in made), "twin"))
    assert "as like that of twin as its own" in look(asked, "clip0")["labels"]
    assert "as like" not in look(asked, "clip1")["labels"]


def test_labels_of_other_things_do_not_stop_who_is_measured_by_agreement(doubles):
    clips = people(4, labels=labelled(12))
    asked = setup(*clips, backends=["double", "describer"], cohort=tuple(clip.name for clip in clips))
    result = evaluate(asked, work("frame", 1, None, clip="clip0"))
    golds = {row["target"]: row["gold"] for row in rows_of(result, "scores", 4)}
    assert golds == {
        "arousal": "labels",
        "valence": "labels",
        "similarity": "pristine:describer",
        "identity": "pristine:describer",
    }


def test_a_common_reference_stands_for_the_labels(doubles):
    result = evaluate(setup(backends=["double", "counter"], reference="double"), work("frame", 1, None))
    golds = {row["backend"]: row["gold"] for row in rows_of(result, "scores", 4)}
    assert golds == {"double": "pristine:double", "counter": "pristine:double"}
    kept = {row["backend"]: unpack(row["data"]) for row in rows_of(result, "predictions", 2)}
    assert np.array_equal(kept["counter"]["gold"], kept["double"]["prediction"].astype(np.float64))
    mixed = evaluate(setup(backends=["classifier"], reference="double"), work("frame", 1, None))
    (failure,) = rows_of(mixed, "failures", 1)
    assert failure["reason"] == (
        f"{moving().name}: no labels, and the reference double does not predict what classifier predicts"
    )


# Refusals and failures


def test_a_refused_rate_is_a_row_without_bits_or_scores(doubles):
    asked = setup(clip_of(moving(6)))
    result = evaluate(asked, work("frame", 1, ("x264", "ra", "2pass", 20.0), CRF))
    refused, done = rows_of(result, "encodes", 2)
    assert (refused["rate_status"], refused.get("payload_bits")) == ("refused", None)
    assert refused["reason"].startswith("libx264 refuses")
    assert (refused["coded_width"], refused["coded_height"]) == (160, 120)
    assert {row["encode"] for row in rows_of(result, "scores", 2)} == {done["encode"]}
    assert "failures" not in result.rows


def test_an_answer_of_the_wrong_shape_is_a_failure_with_its_reason(doubles):
    clip = clip_of(moving(), labels=labelled())
    result = evaluate(setup(clip, backends=["wrong"], sample="one"), work("frame", 1, None, CRF))
    assert set(result.rows) == {"failures"}
    for row, condition in zip(
        rows_of(result, "failures", 2), work("frame", 1, None, CRF).conditions, strict=True
    ):
        assert row == {
            "clip": "one",
            **dataclasses.asdict(condition),
            "reason": "back-end wrong gave predictions of shape (25, 3) for 25 frames and 2 outputs",
        }


@pytest.mark.parametrize("reason", ["missing", "text", "labels"])
def test_a_clip_that_cannot_be_used_fails_each_of_its_conditions(doubles, tmp_path, reason):
    file = tmp_path / "clip.mp4"
    if reason == "text":
        file.write_text("This is no video.\n" * 100)
    clip = clip_of(file)
    if reason == "labels":
        clip = clip_of(moving(), labels=labelled(targets=("pain",)))
    result = evaluate(setup(clip), work("face", 2, None, CRF))
    assert set(result.rows) == {"failures"}
    told = {row["reason"] for row in rows_of(result, "failures", 2)}
    assert len(told) == 1
    assert told.pop().startswith(clip.file.name)


def failing_at(rate, error):
    honest = coder.encode

    def encode(low, profile, variant, mode, asked, fps, folder, limit=None):
        if asked == rate:
            raise error
        return honest(low, profile, variant, mode, asked, fps, folder, limit)

    return encode


def test_a_file_error_fails_its_own_condition_only(doubles, monkeypatch):
    monkeypatch.setattr(coder, "encode", failing_at(31.0, PermissionError(errno.EACCES, "not allowed")))
    asked = work("frame", 2, CRF, ("x264", "ra", "crf", 31.0), ("x264", "ra", "crf", 32.0))
    result = evaluate(setup(), asked)
    assert [row["rate"] for row in rows_of(result, "encodes", 2)] == [30.0, 32.0]
    (failure,) = rows_of(result, "failures", 1)
    assert (failure["rate"], "not allowed" in failure["reason"]) == (31.0, True)


def test_a_full_disk_ends_the_unit(doubles, monkeypatch):
    monkeypatch.setattr(coder, "encode", failing_at(30.0, OSError(errno.ENOSPC, "no space")))
    with pytest.raises(OSError, match="no space"):
        evaluate(setup(), work("frame", 2, CRF))


def test_work_leaves_no_files_behind(doubles, tmp_path, monkeypatch):
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path))
    made = setup()
    evaluate(made, work("frame", 2, None, CRF))
    (kept,) = (tmp_path / "work").iterdir()
    assert not [file for file in kept.iterdir() if file.suffix == ".h264"]
    evaluate(made, work("frame", 4, None, CRF))
    assert kept not in set((tmp_path / "work").iterdir())
    let_go(made)
    assert list((tmp_path / "work").iterdir()) == []


# Looking at clips


def test_a_look_tells_what_was_found(doubles):
    row = look(setup(clip_of(moving(), labels=labelled())), "one")
    assert (row["state"], row["width"], row["height"], row["frames"]) == ("used", 160, 120, 25)
    assert (row["fps"], row["timing"], row["conversion"], row["boxes"]) == ("25", "constant", "none", "given")
    assert row["labels"] == "labels of 25 frames: 25 exact, 0 nearest, 0 interpolated, 0 missing"
    row = look(setup(backends=["double", "counter"]), "one")
    assert row["labels"] == (
        "no labels: agreement with double on pristine frames; no labels: agreement with counter on pristine frames"
    )


def test_a_look_at_what_cannot_be_used_is_a_sentence(doubles, tmp_path):
    faceless = clip_of(moving(), boxes_at(np.arange(25) / 25 + 60))
    row = look(setup(faceless), "one")
    assert (row["state"], row["subject"]) == ("skipped", "subject-one")
    assert row["reason"].startswith(f"one: {moving().name}: No frame has a face")
    row = look(setup(clip_of(tmp_path / "gone.mp4")), "one")
    assert (row["state"], row["reason"]) == ("failed", "one: gone.mp4: no such file")
    row = look(setup(backends=["wrong"]), "one")
    assert (row["state"], row["reason"]) == (
        "failed",
        "one: back-end wrong gave predictions of shape (25, 3) for 25 frames and 2 outputs",
    )


# Pictures to look at, and the way to other processes


@pytest.mark.parametrize("region", ["face", "frame"])
def test_a_sample_shows_the_middle_frame_three_times(doubles, region):
    clip = clip_of(moving(), labels=labelled())
    result = evaluate(setup(clip, sample="one"), work(region, 4, CRF))
    (sample,) = rows_of(result, "samples", 1)
    assert sample["frame"] == 12
    shown = {kind: Image.open(io.BytesIO(png)) for kind, png in sample["pictures"].items()}
    side = 96 if region == "face" else prepare(clip).track.crop().side
    assert {kind: (image.size, image.mode) for kind, image in shown.items()} == {
        "source": ((side, side), "RGB"),
        "decoded": ((side, side), "RGB"),
        "input": ((96, 96), "L"),
    }
    seen = doubles["double"].sessions[-1][0][12]
    assert np.abs(np.asarray(shown["input"]) - 255 * seen).max() <= 0.51
    assert "samples" not in evaluate(setup(clip, sample="other"), work(region, 4, CRF)).rows


def test_a_sample_shows_what_a_back_end_restored(doubles):
    clip = clip_of(moving(), labels=labelled())
    asked = setup(clip, backends=["double", "colour", "brightener"], sample="one")
    (sample,) = rows_of(evaluate(asked, work("frame", 4, CRF)), "samples", 1)
    shown = {kind: np.asarray(Image.open(io.BytesIO(png))) for kind, png in sample["pictures"].items()}
    assert set(shown) == {"source", "decoded", "input", "restored"}
    wanted = np.minimum(shown["input"] / 255 + 0.4, 1)
    assert np.abs(shown["restored"] / 255 - wanted).max() <= 1.01 / 255


@pytest.mark.parametrize("first", ["double", "small", "colour"])
def test_a_sample_shows_what_was_restored_from_other_pictures_than_the_first_saw(doubles, first):
    doubles["small"] = Double("small", size=48)
    doubles["restorer"] = Brightener("restorer", independent=True)
    asked = setup(clip_of(moving(), labels=labelled()), backends=[first, "restorer"], sample="one")
    (sample,) = rows_of(evaluate(asked, work("frame", 4, CRF)), "samples", 1)
    shown = {kind: np.asarray(Image.open(io.BytesIO(png))) for kind, png in sample["pictures"].items()}
    assert set(shown) == {"source", "decoded", "input", "restored"}
    alike = doubles[first].sessions[-1][0][12]
    assert np.abs(shown["input"] / 255 - alike).max() <= 0.51 / 255, "the first back-end's, as ever"
    wanted = np.minimum(doubles["restorer"].sessions[-1][0][12] + 0.4, 1)
    assert np.abs(shown["restored"] / 255 - wanted).max() <= 0.51 / 255


def test_setups_travel_and_stay_themselves():
    asked = setup(weights=Path("somewhere"))
    there = pickle.loads(pickle.dumps(asked))
    assert there == asked
    assert hash(there) == hash(asked)
    assert setup() != setup()
