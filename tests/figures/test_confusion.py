from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rdbench.curves import pooling
from rdbench.curves.run import open_run
from rdbench.errors import InputError
from rdbench.figures.confusion import confusion, confusions
from rdbench.tables.schema import ENCODES, SCORES


@pytest.fixture
def run(tmp_path):
    """Three clips at two rates; the last one was not finished."""
    encodes, scores = [], []
    for number, clip in enumerate("abc"):
        for codec, rate in (("none", 0.0), ("x264", 30.0), ("x264", 45.0)):
            if clip == "c" and rate == 45:
                continue
            encode = f"{clip}{codec}{rate}"
            row = dict.fromkeys(ENCODES) | {
                "encode": encode,
                "clip": clip,
                "subject": clip,
                "partition": "test",
            }
            row |= {"region": "face", "factor": 1, "codec": codec, "variant": "ra" if rate else "none"}
            row |= {
                "mode": "crf" if rate else "none",
                "rate": rate,
                "rate_status": "ok" if rate else "uncoded",
            }
            row |= {"frames": 10, "seconds": 1.0, "payload_bits": int(9000 - 100 * rate) if rate else None}
            encodes.append(row)
            wrong = int(rate / 15) + 4 * (clip == "c")
            score = dict.fromkeys(SCORES) | {"encode": encode, "backend": "two", "weights": "w", "n": 10}
            score |= {"target": "mood", "gold": "labels", "scoring": "plain", "classes": '["low", "high"]'}
            scores.append(
                score | {"confusion": f"[[{8 - wrong}, {wrong}], [{number % 2}, {2 - number % 2}]]"}
            )
    pd.DataFrame(encodes).to_csv(tmp_path / "encodes.csv", index=False)
    pd.DataFrame(scores).to_csv(tmp_path / "scores.csv", index=False)
    return open_run(tmp_path)


def panels(figure):
    return {axes.get_title(): axes.images[0].get_array() for axes in figure.axes if axes.images}


def test_panels_agree_with_the_curve_and_cover_its_clips(run):
    ((name, draw),) = confusions(run.encodes, run.scores)
    figure = draw()
    assert name == ("confusion", "mood", "two", "face")
    curve = pooling.pooled(run.encodes, run.scores, "accuracy").set_index("rate")["value"]
    drawn = panels(figure)
    assert list(drawn) == [
        f"uncoded: accuracy {curve[0]:.2f}",
        f"x264 ra, 4.5 kbit/s: accuracy {curve[45]:.2f}",
    ]
    np.testing.assert_allclose(drawn[f"uncoded: accuracy {curve[0]:.2f}"], [[1, 0], [0.25, 0.75]])
    assert "per cent of each row" in figure.caption


def test_nothing_categorical_draws_nothing(run):
    assert list(confusions(run.encodes, run.scores.assign(confusion=None))) == []


def test_a_class_that_never_occurs_has_an_empty_row():
    figure = confusion([("one", np.array([[3.0, 1.0], [0.0, 0.0]]))], ["a", "b"])
    share = next(iter(panels(figure).values()))
    assert np.isnan(share[1].astype(float).filled(np.nan) if np.ma.isMaskedArray(share) else share[1]).all()


def test_what_does_not_fit_is_told():
    with pytest.raises(InputError, match="does not fit 3 classes"):
        confusion([("one", np.eye(2))], ["a", "b", "c"])
    with pytest.raises(InputError, match="no confusion matrix"):
        confusion([], ["a"])
