"""Tables that a run may well leave, and that nobody thinks of: no command falls over them."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from impossible import write
from made_tables import made

from rdbench.cli import main

CLAIMS = """
[[claim]]
sentence = "it is better"
better = "direct@lite"
than = "other@lite"
factors = [1, 4]
[[claim]]
sentence = "it needs fewer bits"
better = "direct@lite"
than = "other@lite"
factors = [4, "best"]
measure = "bd-rate"
codecs = ["x264"]
"""


def only(encodes, scores, use):
    kept = encodes[use]
    return kept, scores[scores["encode"].isin(kept["encode"])]


def some_scores(encodes, scores, rng):
    return encodes, scores[rng.random(len(scores)) > rng.choice([0.02, 0.3, 0.9])]


def some_encodes(encodes, scores, rng):
    return only(encodes, scores, rng.random(len(encodes)) > rng.choice([0.02, 0.3]))


def few_subjects(encodes, scores, rng):
    names = sorted(encodes["subject"].dropna().unique())
    return only(encodes, scores, encodes["subject"].isin(names[: rng.integers(1, 8)]))


def few_rates(encodes, scores, rng):
    rates = sorted(encodes["rate"].unique())
    return only(encodes, scores, encodes["rate"].isin([0, *rates[: rng.integers(1, 6)]]))


def one_codec(encodes, scores, rng):
    return only(encodes, scores, encodes["codec"] != rng.choice(["x264", "x265", "none"]))


def no_subjects(encodes, scores, rng):
    return encodes.assign(subject=None), scores


def equal_bits(encodes, scores, rng):
    bits = encodes["payload_bits"].where(encodes["payload_bits"].isna(), 8000)
    return encodes.assign(
        payload_bits=bits, stream_bits=bits + encodes["stream_bits"] - encodes["payload_bits"]
    ), scores


def falling(encodes, scores, rng):
    """More bits, less accuracy."""
    turned = encodes["payload_bits"].max() + 8 - encodes["payload_bits"]
    more = encodes["stream_bits"] - encodes["payload_bits"]
    return encodes.assign(payload_bits=turned, stream_bits=turned + more), scores


def of_some(scores, rng):
    return rng.random(len(scores)) < rng.choice([0.05, 0.5, 1.0])


def constant(encodes, scores, rng):
    use = of_some(scores, rng) & scores["mean_pred"].notna()
    return encodes, scores.assign(
        m2_pred=scores["m2_pred"].where(~use, 0.0), cov=scores["cov"].where(~use, 0.0)
    )


def perfect(encodes, scores, rng):
    use = of_some(scores, rng) & scores["mean_pred"].notna()
    equal = {"mean_pred": "mean_gold", "m2_pred": "m2_gold", "cov": "m2_gold"}
    return encodes, scores.assign(**{a: scores[a].where(~use, scores[b]) for a, b in equal.items()})


def unscored(encodes, scores, rng):
    use = of_some(scores, rng)
    names = ("mean_pred", "mean_gold", "m2_pred", "m2_gold", "cov")
    gone = {name: scores[name].where(~use) for name in names}
    if scores["confusion"].notna().any():
        gone["confusion"] = scores["confusion"].where(~use)
    return encodes, scores.assign(**gone)


def worse_than_chance(encodes, scores, rng):
    return encodes, scores.assign(cov=-scores["cov"].astype("float64"))


def scaled(encodes, scores, rng):
    by = float(rng.choice([1e-9, 1e6]))
    powers = {"mean_pred": 1, "mean_gold": 1, "m2_pred": 2, "m2_gold": 2, "cov": 2}
    grown = {name: scores[name].astype("float64") * by**power for name, power in powers.items()}
    return encodes, scores.assign(**grown)


def odd_names(encodes, scores, rng):
    name = str(rng.choice(["a,b=c", "x|y", "<b>", "näme", "-v", "[1]", "factor"]))
    return encodes, scores.assign(target=name, scoring=str(rng.choice(["plain", name])))


def no_quality(encodes, scores, rng):
    return encodes.assign(psnr=np.nan, face_px=np.nan), scores


def coded_larger(encodes, scores, rng):
    use = rng.random(len(encodes)) < rng.choice([0.2, 1.0])
    return encodes.assign(coded_width=encodes["coded_width"].where(~use, encodes["width"] * 2)), scores


def missed(encodes, scores, rng):
    use = (encodes["codec"] != "none") & (rng.random(len(encodes)) < 0.5)
    return encodes.assign(
        rate_status=encodes["rate_status"].where(~use, str(rng.choice(["missed", "floor", "ceiling"])))
    ), scores


ODD = (
    *(
        some_scores,
        some_encodes,
        few_subjects,
        few_rates,
        one_codec,
        no_subjects,
        equal_bits,
        falling,
        constant,
    ),
    *(perfect, unscored, worse_than_chance, scaled, odd_names, no_quality, coded_larger, missed),
)


@pytest.fixture(scope="module")
def sound():
    known = {"subjects": 7, "factors": (1, 4), "backends": ("direct@lite", "other@lite"), "uncoded": True}
    return {
        "moments": made(**known, targets=("valence",))[:2],
        "classes": made(**known, targets=("expression",), classes=3)[:2],
    }


def code(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rdbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code


def commands(folder):
    run, reference, out = folder / "run", folder / "sound", folder / "out"
    (folder / "claims.toml").write_text(CLAIMS)
    sides = ("--anchor", "codec=x264", "--test", "codec=x265")
    best = ("--anchor", "codec=x264,factor=1", "--test", "codec=x264,factor=best")
    kinds = "rd,envelope,methods,standalone,bd,target,confusion"
    return {
        "bd": ("bd", run, *sides),
        "bd of envelopes": ("bd", run, *best),
        "bd --by": ("bd", run, *sides, "--by", "subject"),
        "plan": ("plan", run, *sides, "--half-width", "5%", "--max-bd-rate", "3%"),
        "check": ("check", run, "--against", reference, "--max-target-rate", "3%"),
        "check back": ("check", reference, "--against", run, "--max-target-rate", "3%", "--format", "json"),
        "target": ("target", run),
        "methods": ("methods", run),
        "claims": ("claims", run, "--claims", folder / "claims.toml"),
        "f1": ("methods", run, "--metric", "f1"),
        "export": ("export", run, "--out", out),
        "plot": ("plot", run, "--out", out, "--formats", "svg", "--only", kinds),
        "report": ("report", run, "-o", out / "report.html"),
    }


def holds_up(folder, sound, seed, capsys, names=None):
    rng = np.random.default_rng(seed)
    tables = sound[("moments", "classes")[seed % 2]]
    write(folder / "sound", tables)
    encodes, scores = (table.copy() for table in tables)
    ways = [ODD[i] for i in rng.permutation(len(ODD))[: rng.integers(1, 4)]]
    for way in ways:
        encodes, scores = (pd.DataFrame(table).reset_index(drop=True) for table in way(encodes, scores, rng))
    write(folder / "run", (encodes, scores))
    for name, arguments in commands(folder).items():
        if names is None or name in names:
            capsys.readouterr()
            ended, told = code(*arguments), capsys.readouterr()
            what = (name, [way.__name__ for way in ways], seed)
            assert ended in (0, 1, 2, 3), (*what, told.err[-3000:])
            assert "Traceback" not in told.err + told.out, what
            assert "Warning" not in told.err, (*what, told.err[-2000:])


@pytest.mark.parametrize("seed", range(2))
def test_odd_tables_are_no_error_of_ours(tmp_path, sound, seed, capsys):
    holds_up(tmp_path, sound, seed, capsys, ("bd", "check", "target", "claims", "f1", "plan"))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 300))
def test_odd_tables_are_no_error_of_ours_in_any_command(tmp_path, sound, seed, capsys):
    holds_up(tmp_path, sound, seed, capsys)
