from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as distributions

from rdbench.stats.components import Estimate, Sample, bounds, together
from rdbench.stats.intervals import simultaneous

NAN = float("nan")


def without_each(x: np.ndarray) -> np.ndarray:
    """Means without each value in turn, one by one."""
    return np.array([np.delete(x, i).mean() for i in range(len(x))])


def mean_of(x: np.ndarray, name: object = "subjects") -> Estimate:
    return Estimate(float(x.mean()), Sample(name, without_each(x)))


def still(subjects: int = 8) -> Sample:
    """Subjects who do not differ."""
    return Sample("subjects", np.zeros(subjects))


def ends(result) -> tuple[float, float]:
    return result.low, result.high


def bonferroni(plain, members: int, level: float = 0.95) -> float:
    """Half the width of Bonferroni's interval."""
    return float(distributions.t.ppf(1 - (1 - level) / (2 * members), plain.freedom) * plain.error)


# One sample


@pytest.mark.parametrize(
    ("replicates", "variance"),
    [
        pytest.param([1.0, 2.0], 0.25, id="two units"),
        pytest.param([1.0, 2.0, 6.0], 2 / 3 * (4 + 1 + 9), id="three units"),
        pytest.param([5.0, 5.0, 5.0, 5.0], 0.0, id="units that do not differ"),
    ],
)
def test_a_component_is_the_jackknife_variance(replicates, variance):
    assert Sample("any", np.array(replicates)).variance == pytest.approx(variance, rel=1e-12)


def test_the_component_of_a_mean_is_its_squared_standard_error():
    x = np.random.default_rng(0).normal(3, 2, 11)
    assert Sample("any", without_each(x)).variance == pytest.approx(distributions.sem(x) ** 2, rel=1e-12)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_units_have_no_component(count):
    assert np.isnan(Sample("any", np.ones(count)).variance)


def test_the_component_of_a_smooth_statistic_follows_the_delta_method():
    x = np.random.default_rng(1).normal(5, 1, 400)
    ratio = np.array([np.log(np.delete(x, i).mean()) for i in range(len(x))])
    assert Sample("any", ratio).variance == pytest.approx(x.var(ddof=1) / 400 / x.mean() ** 2, rel=0.01)


# One estimate


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_a_mean_over_subjects_has_students_interval(level):
    x = np.random.default_rng(2).normal(3, 2, 12)
    got = bounds(mean_of(x), level=level)
    wanted = distributions.ttest_1samp(x, 0).confidence_interval(level)
    assert ends(got) == pytest.approx(tuple(wanted), rel=1e-10)
    assert got.freedom == pytest.approx(11)
    assert got.error == pytest.approx(distributions.sem(x))
    assert got.reason == ""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((5, 0.02), (5, 0.02), id="equally many, equally wide"),
        pytest.param((5, 0.01), (5, 0.20), id="one much wider"),
        pytest.param((2, 0.05), (9, 0.02), id="few and many"),
    ],
)
def test_two_samples_of_seeds_are_compared_as_by_welch(first, second):
    rng = np.random.default_rng(3)
    x, y = (rng.normal(0.5, sd, n) for n, sd in (first, second))
    own = Sample("x", without_each(x) - y.mean()), Sample("y", x.mean() - without_each(y))
    got = bounds(Estimate(float(x.mean() - y.mean()), still(), own))
    welch = distributions.ttest_ind(x, y, equal_var=False)
    assert got.freedom == pytest.approx(welch.df, rel=1e-9)
    assert ends(got) == pytest.approx(tuple(welch.confidence_interval(0.95)), rel=1e-9)


def test_components_of_three_samples_add_up_and_so_does_their_freedom():
    rng = np.random.default_rng(4)
    subjects, x, y = rng.normal(0, 0.2, 9), rng.normal(0, 0.05, 5), rng.normal(0, 0.1, 3)
    value = float(subjects.mean() + x.mean() - y.mean())
    samples = [
        Sample("subjects", without_each(subjects) + x.mean() - y.mean()),
        Sample("x", subjects.mean() + without_each(x) - y.mean()),
        Sample("y", subjects.mean() + x.mean() - without_each(y)),
    ]
    parts = [subjects.var(ddof=1) / 9, x.var(ddof=1) / 5, y.var(ddof=1) / 3]
    total = sum(parts)
    freedom = total**2 / (parts[0] ** 2 / 8 + parts[1] ** 2 / 4 + parts[2] ** 2 / 2)
    estimate = Estimate(value, samples[0], (samples[1], samples[2]))
    assert [sample.variance for sample in estimate.samples] == pytest.approx(parts)
    got = bounds(estimate)
    assert got.error == pytest.approx(total**0.5)
    assert got.freedom == pytest.approx(freedom)
    assert min(2, 4, 8) <= got.freedom <= 2 + 4 + 8
    half = distributions.t.ppf(0.975, freedom) * total**0.5
    assert ends(got) == pytest.approx((value - half, value + half))


def test_what_does_not_vary_has_an_interval_without_width():
    got = bounds(Estimate(0.3, still(), (Sample("x", np.full(5, 0.3)),)))
    assert (got.low, got.high, got.error, got.freedom, got.reason) == (0.3, 0.3, 0.0, np.inf, "")


HOLE = np.array([0.1, 0.2, NAN, 0.3, 0.1, 0.2, 0.4])
WHOLE = np.linspace(0.1, 0.3, 7)


@pytest.mark.parametrize(
    ("estimate", "reason"),
    [
        pytest.param(
            Estimate(0.2, Sample("subjects", HOLE)),
            "a leave-one-subject-out value is missing",
            id="a subject's",
        ),
        pytest.param(
            Estimate(0.2, Sample("subjects", WHOLE), (Sample("x", WHOLE), Sample("y", HOLE))),
            "a leave-one-seed-out value is missing",
            id="a seed's",
        ),
        pytest.param(
            Estimate(0.2, Sample("subjects", WHOLE), (Sample("x", np.array([0.1, np.inf])),)),
            "a leave-one-seed-out value is missing",
            id="a seed's without end",
        ),
        pytest.param(
            Estimate(0.2, Sample("subjects", WHOLE[:5])), "only 5 subjects: an interval needs 6", id="five"
        ),
        pytest.param(
            Estimate(0.2, Sample("subjects", WHOLE[:1])), "only 1 subject: an interval needs 6", id="one"
        ),
        pytest.param(Estimate(NAN, Sample("subjects", WHOLE)), "there is no estimate", id="no value"),
        pytest.param(
            Estimate(NAN, Sample("subjects", HOLE[:3]), reason="the curves share no range of rates"),
            "the curves share no range of rates",
            id="a reason of its own comes first",
        ),
    ],
)
def test_without_an_interval_there_is_a_reason(estimate, reason):
    got = bounds(estimate)
    assert got.reason == reason
    assert np.isnan([got.low, got.high, got.error, got.freedom]).all()
    assert together([estimate])[0].reason == reason


def test_how_many_subjects_are_enough_can_be_said():
    five = mean_of(np.random.default_rng(5).normal(size=5))
    assert bounds(five).reason
    assert not bounds(five, min_subjects=5).reason
    assert not together([five, five], min_subjects=5)[1].reason
    assert bounds(five, min_subjects=7).reason == "only 5 subjects: an interval needs 7"


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("enough", [-1, 0, 1, 2])
def test_no_number_makes_fewer_than_two_subjects_enough(count, enough):
    few = Estimate(0.3, Sample("subjects", np.full(count, 0.2)))
    for got in (bounds(few, min_subjects=enough), *together([few, few], min_subjects=enough)):
        assert got.reason == f"only {count} subject{'s' * (count != 1)}: an interval needs 2"
        assert np.isnan([got.low, got.high, got.error, got.freedom]).all()


numbers = st.floats(-1, 1).map(lambda v: round(v, 6))


@settings(max_examples=80)
@given(
    st.lists(numbers, min_size=6, max_size=12),
    st.lists(st.lists(numbers, min_size=2, max_size=7), max_size=3),
    st.floats(1e-3, 1e3),
    st.floats(-10, 10),
)
def test_intervals_move_and_stretch_with_the_scale(subjects, seeds, unit, offset):
    def estimate(times: float, plus: float) -> Estimate:
        own = [times * np.array(values) + plus for values in (subjects, *seeds)]
        samples = [Sample(i, values) for i, values in enumerate(own)]
        return Estimate(times * 0.25 + plus, samples[0], tuple(samples[1:]))

    plain, moved = bounds(estimate(1, 0)), bounds(estimate(unit, offset))
    wanted = [unit * end + offset for end in ends(plain)]
    assert ends(moved) == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert plain.low <= 0.25 <= plain.high
    free = [len(subjects) - 1, *(len(values) - 1 for values in seeds)]
    if plain.error > 1e-6:
        assert min(free) - 1e-6 <= plain.freedom <= sum(free) + 1e-6


@settings(max_examples=60)
@given(st.lists(numbers, min_size=6, max_size=12), st.lists(numbers, min_size=2, max_size=7))
def test_a_further_sample_never_lessens_the_error(subjects, seeds):
    alone = bounds(Estimate(0.0, Sample("subjects", np.array(subjects))))
    both = bounds(Estimate(0.0, Sample("subjects", np.array(subjects)), (Sample("x", np.array(seeds)),)))
    assert both.error >= alone.error
    assert both.error**2 == pytest.approx(alone.error**2 + Sample("x", np.array(seeds)).variance)


def crossed_difference(
    rng: np.random.Generator, subjects: int, seeds: tuple[int, int], of_seeds: float
) -> Estimate:
    """Difference of two ways of training whose truth is 0: what seeds, subjects and both together do is drawn."""
    tables = [
        rng.normal(0, of_seeds, (n, 1))
        + rng.normal(0, 0.1, (1, subjects))
        + rng.normal(0, 0.1, (n, subjects))
        for n in seeds
    ]
    x, y = tables
    difference = x.mean(axis=0) - y.mean(axis=0)
    return Estimate(
        float(difference.mean()),
        Sample("subjects", without_each(difference)),
        (
            Sample("x", without_each(x.mean(axis=1)) - y.mean()),
            Sample("y", x.mean() - without_each(y.mean(axis=1))),
        ),
    )


@pytest.mark.parametrize(
    ("subjects", "seeds", "of_seeds"),
    [
        pytest.param(8, (5, 5), 0.1, id="both count"),
        pytest.param(12, (5, 8), 0.3, id="seeds count most"),
        pytest.param(8, (5, 5), 0.0, id="subjects alone count"),
    ],
)
def test_intervals_over_seeds_and_subjects_hold_the_truth(subjects, seeds, of_seeds):
    rng = np.random.default_rng(6)
    trials, held, careless = 300, 0, 0
    for _ in range(trials):
        estimate = crossed_difference(rng, subjects, seeds, of_seeds)
        got = bounds(estimate)
        held += got.low < 0 < got.high
        alone = bounds(Estimate(estimate.value, estimate.subjects))
        careless += alone.low < 0 < alone.high
    assert 0.92 <= held / trials <= 0.99
    if of_seeds:
        assert careless / trials < 0.9, "without the seeds' components the truth would be missed"


# Families of estimates


def strangers(members: int, subjects: int = 20, seed: int = 7) -> list[Estimate]:
    """Estimates over the same subjects that have nothing to do with each other."""
    x = np.random.default_rng(seed).normal(size=(subjects, members))
    return [mean_of(column) for column in x.T]


def test_nothing_has_no_intervals():
    assert together([]) == []


def test_a_family_of_one_has_its_plain_interval():
    rng = np.random.default_rng(8)
    one = crossed_difference(rng, 9, (5, 6), 0.1)
    assert together([one]) == [bounds(one)]
    missing = Estimate(NAN, Sample("subjects", WHOLE))
    assert together([missing, one])[1] == bounds(one), "nor does one without an interval make it two"


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 7), st.sampled_from([0.5, 0.9, 0.95]), st.floats(0, 1))
def test_simultaneous_intervals_lie_between_plain_and_bonferronis(seed, members, level, shared):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(7, 1))
    subjects = shared * common + (1 - shared) * rng.normal(size=(7, members))
    seeds = rng.normal(size=(3, members)) * rng.uniform(0, 2, members)
    family = [
        Estimate(
            float(rng.normal()),
            Sample("subjects", subjects[:, i]),
            (Sample(("way", i % 2), seeds[:, i]),) if i % 3 else (),
        )
        for i in range(members)
    ]
    got = together(family, level=level, draws=200)
    for estimate, wide in zip(family, got, strict=True):
        plain = bounds(estimate, level=level)
        half = (wide.high - wide.low) / 2
        assert (plain.high - plain.low) / 2 <= half * (1 + 1e-9)
        assert half <= bonferroni(plain, members, level) * (1 + 1e-9)
        assert (wide.high + wide.low) / 2 == pytest.approx(estimate.value, abs=1e-9)
        assert (wide.error, wide.freedom) == (plain.error, plain.freedom)


@pytest.mark.parametrize("sign", [1, -1], ids=["the same", "mirrored"])
def test_members_that_go_together_cost_nothing(sign):
    x = np.random.default_rng(9).normal(size=12)
    family = [mean_of(x), mean_of(sign * 3 * x), mean_of(sign * x + 5)]
    for estimate, got in zip(family, together(family), strict=True):
        plain = bounds(estimate)
        # What is drawn has Student's own distribution: its quantile is known to about 2 %, and only widens.
        assert got.high - got.low == pytest.approx(plain.high - plain.low, rel=0.05)


def test_members_that_have_nothing_in_common_cost_as_much_as_sidak_says():
    x = np.linalg.qr(np.random.default_rng(10).normal(size=(60, 9)))[0]
    # Columns at right angles to each other and to a constant: no correlation is left to chance.
    x = np.linalg.qr(np.column_stack([np.ones(60), x]))[0][:, 1:]
    family = [mean_of(column) for column in x.T]
    critical = distributions.t.ppf((1 + 0.95 ** (1 / 9)) / 2, 59)
    for estimate, got in zip(family, together(family), strict=True):
        assert (got.high - got.low) / 2 / bounds(estimate).error == pytest.approx(critical, rel=0.03)


def test_samples_go_together_by_their_names():
    x = np.random.default_rng(11).normal(size=10)

    def width(names: tuple[str, str]) -> float:
        family = [Estimate(0.0, still(), (Sample(name, without_each(x)),)) for name in names]
        return together(family)[0].high

    one, two = width(("way", "way")), width(("way", "another"))
    plain = bounds(Estimate(0.0, still(), (Sample("way", without_each(x)),))).high
    assert one == pytest.approx(plain, rel=0.05)
    assert two > 1.1 * plain


@pytest.mark.parametrize(
    ("in_common", "own", "least", "most"),
    [
        pytest.param(1.0, 0.02, 1.0, 1.15, id="most is in common"),
        pytest.param(0.02, 1.0, 1.4, 3.0, id="little is in common"),
    ],
)
def test_samples_weigh_by_their_components_however_many_units_they_have(in_common, own, least, most):
    rng = np.random.default_rng(17)

    def of_component(n: int, variance: float) -> np.ndarray:
        x = rng.normal(size=n)
        return x * (variance / Sample("any", x).variance) ** 0.5

    subjects = Sample("subjects", of_component(30, in_common))
    family = [Estimate(0.0, subjects, (Sample(i, of_component(4, own)),)) for i in range(6)]
    for estimate, got in zip(family, together(family), strict=True):
        assert least <= got.high / bounds(estimate).high <= most


def test_equal_names_of_unlike_numbers_are_samples_of_their_own():
    rng = np.random.default_rng(12)
    family = [mean_of(rng.normal(size=n)) for n in (8, 9)]
    for estimate, got in zip(family, together(family), strict=True):
        plain = bounds(estimate)
        assert plain.high - plain.low < got.high - got.low < 2 * bonferroni(plain, 2) * (1 + 1e-9)


def test_members_without_an_interval_take_no_part():
    family = strangers(3)
    hole = Estimate(0.0, Sample("subjects", np.r_[NAN, np.ones(19)]))
    flat = Estimate(1.0, still(20))
    got = together([family[0], hole, family[1], flat, family[2]])
    assert [got[i] for i in (0, 2, 4)] == together(family)
    assert got[1].reason == "a leave-one-subject-out value is missing"
    assert ends(got[3]) == (1.0, 1.0)


def alike(shared: float, subjects: int = 10, members: int = 5) -> np.ndarray:
    rng = np.random.default_rng(14)
    common, own = rng.normal(size=(subjects, 1)), rng.normal(size=(subjects, members))
    return np.sqrt(shared) * common + np.sqrt(1 - shared) * own


@pytest.mark.parametrize("shared", [0.5, 0.8, 0.95])
@pytest.mark.parametrize(("subjects", "members"), [(8, 3), (10, 12), (30, 6)])
def test_over_subjects_alone_families_cost_what_max_t_says(subjects, members, shared):
    replicates = alike(shared, subjects, members)
    family = [Estimate(0.0, Sample("subjects", column)) for column in replicates.T]
    critical = simultaneous(np.zeros(members), replicates, draws=20_000).critical
    for got in together(family):
        assert got.high / got.error == pytest.approx(critical, rel=0.05)


def test_the_same_input_gives_the_same_answer_and_another_seed_nearly():
    family = [mean_of(column) for column in alike(0.8).T]
    first = together(family)
    assert together(family) == first
    other = together(family, seed=1)
    assert other != first
    assert other[0].high == pytest.approx(first[0].high, abs=0.05 * (first[0].high - first[0].low))


def test_many_units_are_drawn_in_several_goes():
    family = strangers(30, subjects=1500)
    critical = distributions.t.ppf((1 + 0.95 ** (1 / 30)) / 2, 1499)
    got = together(family, draws=100)
    for estimate, wide in zip(family, got, strict=True):
        assert (wide.high - wide.low) / 2 / bounds(estimate).error == pytest.approx(critical, rel=0.15)


def test_a_family_holds_all_its_truths_together():
    rng = np.random.default_rng(13)
    trials, held, plain = 300, 0, 0
    for _ in range(trials):
        # Two ways of training at four factors: subjects are common, what a factor does is its own.
        subjects = rng.normal(size=(10, 1)) + rng.normal(size=(10, 4))
        seeds = [0.5 * (rng.normal(size=(5, 1)) + rng.normal(size=(5, 4))) for _ in range(2)]
        family = []
        for i in range(4):
            s, x, y = subjects[:, i], seeds[0][:, i], seeds[1][:, i]
            value = float(s.mean() + x.mean() - y.mean())
            own = (
                Sample("x", value - x.mean() + without_each(x)),
                Sample("y", value + y.mean() - without_each(y)),
            )
            family.append(Estimate(value, Sample("subjects", value - s.mean() + without_each(s)), own))
        held += all(one.low < 0 < one.high for one in together(family, draws=400))
        plain += all(bounds(one).low < 0 < bounds(one).high for one in family)
    assert 0.92 <= held / trials <= 0.99
    assert plain / trials < 0.92
