"""The tables of a run: their columns, in order. Both sides of the program know these and no more.

Everything left of the tables (the sweep) writes them, everything right of them (curves, intervals, figures,
report, verdict) is a pure function of them.
"""

from __future__ import annotations

from rdbench.stats.metrics import MOMENTS

__all__ = [
    "BITS",
    "CLIPS",
    "CODED",
    "CONDITION",
    "CURVE",
    "ENCODES",
    "FAILURES",
    "FITTED",
    "GRID",
    "LATER",
    "META",
    "MOMENTS",
    "PREDICTIONS",
    "SCOPE",
    "SCORES",
    "SCORE_KEY",
    "TABLES",
    "TIMINGS",
]

CONDITION = ("region", "factor", "codec", "variant", "mode", "rate")
"""The columns of `encodes` that name a condition. An uncoded condition (downsampled, never encoded) has
codec, variant and mode "none" and rate 0, and its bit counts are null."""


ENCODES: dict[str, str] = {
    "encode": "TEXT",  # content hash of everything that changes the answer, backend aside
    "clip": "TEXT",
    "subject": "TEXT",
    "partition": "TEXT",
    "region": "TEXT",  # face | frame
    "factor": "INTEGER",
    "codec": "TEXT",
    "variant": "TEXT",
    "mode": "TEXT",  # abr | 2pass | crf | qp | flat | none
    "rate": "REAL",  # target in kbit/s (abr, 2pass), or the quantiser
    "rate_status": "TEXT",
    "frames": "INTEGER",  # coded = decoded = source frames
    "seconds": "REAL",
    "payload_bits": "INTEGER",
    "framing_bits": "INTEGER",
    "informational_bits": "INTEGER",
    "filler_bits": "INTEGER",
    "stream_bits": "INTEGER",  # = payload + framing + informational + filler
    "container_bits": "INTEGER",  # headers of IVF: beside all other counts, and never charged
    "parameter_bits": "INTEGER",  # share of payload: parameter sets, adaptation sets apart
    "adaptation_bits": "INTEGER",  # share of payload: adaptation parameter sets (VVC), sent for single pictures
    "first_key_bits": "INTEGER",  # share of payload: the first key frame
    "box_bits": "INTEGER",  # what sending the face boxes would cost (region frame), not in payload
    "face_px": "REAL",  # coded width of the face, the recording's median
    "width": "INTEGER",  # asked for, after downsampling
    "height": "INTEGER",
    "coded_width": "INTEGER",  # handed to the encoder (larger where it cannot code so small)
    "coded_height": "INTEGER",
    "mean_qp": "REAL",  # of all coded pictures, hidden ones too; 0 to 255 in AV1 and VP9
    "psnr_coded": "REAL",  # luma, dB, at coded size against the downsampled picture, from the mean MSE
    "psnr": "REAL",  # luma, dB, after upscaling, against the pristine crop (face) or source (frame)
    "timing": "TEXT",  # constant | retimed (a variable-rate source made constant, every frame kept)
    "masked_frames": "INTEGER",  # frames without a face: coded and charged, not scored
    "source": "TEXT",  # content hash of the clip's file, labels and boxes
    "profile": "TEXT",  # content hash of the codec profile
    "build": "TEXT",  # FFmpeg's build, its executable's content hash, and the encoder behind it
    "command": "TEXT",  # with placeholders for paths
    "reason": "TEXT",  # why a row has no bits or score
    "box_looks": "INTEGER",  # with --boxes decoded: how often the detector looked where the source has a face
    "box_misses": "INTEGER",  # and how often it saw none there: the last box was held
}

SCORES: dict[str, str] = {
    "encode": "TEXT",
    "backend": "TEXT",  # name@size
    "weights": "TEXT",  # content hash
    "target": "TEXT",
    "gold": "TEXT",  # "labels", or "pristine:NAME@SIZE" for agreement with a pristine reference
    "scoring": "TEXT",  # "plain", or what delay, post-processing and edge policy were applied
    "n": "INTEGER",
    "mean_pred": "REAL",
    "mean_gold": "REAL",
    "m2_pred": "REAL",
    "m2_gold": "REAL",
    "cov": "REAL",
    "confusion": "TEXT",  # JSON, rows gold, columns prediction; null for continuous targets
    "classes": "TEXT",  # JSON list of the class names; null for continuous targets
    "reason": "TEXT",  # why a score is missing
}

SCORE_KEY = ("backend", "target", "gold", "scoring")

GRID = (*SCORE_KEY, *CONDITION)
"""The columns that name a point."""

CURVE = tuple(column for column in GRID if column != "rate")
"""The columns that name a curve."""

SCOPE = ("target", "gold", "scoring")
"""Values are compared within these; each scope has its own set of clips."""

BITS = ("payload", "framing", "informational", "filler", "stream")
"""What may be charged; a curve charges payload unless told otherwise."""

CLIPS: dict[str, str] = {
    "clip": "TEXT",
    "subject": "TEXT",
    "partition": "TEXT",
    "state": "TEXT",  # used | skipped (no face) | failed
    "reason": "TEXT",
    "source": "TEXT",
    "width": "INTEGER",
    "height": "INTEGER",
    "frames": "INTEGER",
    "fps": "TEXT",
    "timing": "TEXT",
    "conversion": "TEXT",
    "face_px": "REAL",
    "boxes": "TEXT",
    "labels": "TEXT",  # how labels were joined, or what stands in for them
    "content": "TEXT",  # content hash of all that the dataset says of the clip; another one: it is done anew
}

PREDICTIONS: dict[str, str] = {"encode": "TEXT", "backend": "TEXT", "gold": "TEXT", "data": "BLOB"}

FAILURES: dict[str, str] = {"clip": "TEXT", **{name: ENCODES[name] for name in CONDITION}, "reason": "TEXT"}

FITTED: dict[str, str] = {
    "region": "TEXT",
    "backend": "TEXT",
    "target": "TEXT",
    "scoring": "TEXT",
    "step": "TEXT",  # delay | median | bias | scale
    "value": "REAL",  # seconds of delay or filter, the offset added, or the gain
    "ccc_before": "REAL",
    "ccc_after": "REAL",
    "kept": "INTEGER",  # 0 | 1
    "fitted_on": "TEXT",
    "recordings": "INTEGER",
}

TIMINGS: dict[str, str] = {
    "encode": "TEXT",
    "host": "TEXT",
    "seconds": "REAL",  # of the whole unit, wall clock
    "encode_cpu_seconds": "REAL",  # user and system time of the encoder's process, all passes
    "decode_cpu_seconds": "REAL",  # of the decoder's; that of the first stream where several are equal
}

CODED: dict[str, str] = {
    "encode": "TEXT",
    "kind": "TEXT",  # I | P | B
    "layer": "INTEGER",
    "pictures": "INTEGER",
    "hidden": "INTEGER",  # of these
    "mean_quantiser": "REAL",  # as picture headers have it
    "lowest_quantiser": "INTEGER",
    "highest_quantiser": "INTEGER",
}

LATER = {
    "encodes": ("container_bits", "adaptation_bits", "box_looks", "box_misses"),
    "timings": ("encode_cpu_seconds", "decode_cpu_seconds"),
}
"""Columns that runs of earlier versions lack: null where these are read."""

META: dict[str, str] = {"key": "TEXT", "value": "TEXT"}

TABLES = {
    "meta": (META, ("key",)),
    "clips": (CLIPS, ("clip",)),
    "encodes": (ENCODES, ("encode",)),
    "scores": (SCORES, ("encode", "backend", "target", "gold", "scoring")),
    "fitted": (FITTED, ("region", "backend", "target", "scoring", "step")),
    "predictions": (PREDICTIONS, ("encode", "backend", "gold")),
    "failures": (FAILURES, ("clip", *CONDITION)),
    "timings": (TIMINGS, ("encode",)),
    "coded": (CODED, ("encode", "kind", "layer")),
}
