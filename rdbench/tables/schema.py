"""The tables of a run: their columns, in order. Both sides of the program know these and no more.

Everything left of the tables (the sweep) writes them, everything right of them (curves, intervals, figures,
report, verdict) is a pure function of them.
"""

from __future__ import annotations

__all__ = ["CONDITION", "ENCODES", "MOMENTS", "RATE_STATUS", "SCORES", "SCORE_KEY"]

CONDITION = ("region", "factor", "codec", "variant", "mode", "rate")
"""The columns of `encodes` that name a condition. An uncoded condition (downsampled, never encoded) has
codec, variant and mode "none" and rate 0, and its bit counts are null."""

RATE_STATUS = ("ok", "missed", "floor", "ceiling", "refused", "uncoded")

ENCODES: dict[str, str] = {
    "encode": "TEXT",  # content hash of everything that changes the answer, backend aside
    "clip": "TEXT",
    "subject": "TEXT",
    "partition": "TEXT",
    "region": "TEXT",  # face | frame
    "factor": "INTEGER",
    "codec": "TEXT",
    "variant": "TEXT",
    "mode": "TEXT",  # abr | 2pass | crf | qp | none
    "rate": "REAL",  # target in kbit/s (abr, 2pass), or the quantiser
    "rate_status": "TEXT",
    "frames": "INTEGER",  # coded = decoded = source frames
    "seconds": "REAL",
    "payload_bits": "INTEGER",
    "framing_bits": "INTEGER",
    "informational_bits": "INTEGER",
    "filler_bits": "INTEGER",
    "stream_bits": "INTEGER",  # = payload + framing + informational + filler
    "parameter_bits": "INTEGER",  # share of payload: parameter sets
    "first_key_bits": "INTEGER",  # share of payload: the first key frame
    "box_bits": "INTEGER",  # what sending the face boxes would cost (region frame), not in payload
    "face_px": "REAL",  # coded width of the face, the recording's median
    "width": "INTEGER",  # asked for, after downsampling
    "height": "INTEGER",
    "coded_width": "INTEGER",  # handed to the encoder (larger where it cannot code so small)
    "coded_height": "INTEGER",
    "mean_qp": "REAL",
    "psnr_coded": "REAL",  # luma, dB, at coded size against the downsampled picture, from the mean MSE
    "psnr": "REAL",  # luma, dB, after upscaling, against the pristine crop (face) or source (frame)
    "timing": "TEXT",  # constant | retimed (a variable-rate source made constant, every frame kept)
    "masked_frames": "INTEGER",  # frames without a face: coded and charged, not scored
    "source": "TEXT",  # content hash of the clip's file, labels and boxes
    "profile": "TEXT",  # content hash of the codec profile
    "build": "TEXT",  # FFmpeg build
    "command": "TEXT",  # with placeholders for paths
    "reason": "TEXT",  # why a row has no bits or score
}

MOMENTS = ("n", "mean_pred", "mean_gold", "m2_pred", "m2_gold", "cov")
"""n, means, and centred second moments (sums, not divided by n) of prediction and gold: they add by the
pairwise rule and so give CCC, PCC and RMSE over any union of rows."""

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
