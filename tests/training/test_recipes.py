from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from rdbench.backends.constant import FILE
from rdbench.backends.constant import open_backend as open_constant
from rdbench.backends.paper import direct as open_direct
from rdbench.backends.protocol import Context
from rdbench.backends.weights import read_weights, weights_folder
from rdbench.cli.group import main
from rdbench.datasets.synthetic import SyntheticDataset
from rdbench.errors import InputError
from rdbench.training import recipes as strategies
from rdbench.training.examples import load_faces
from rdbench.training.models import FACTORS, MODELS
from rdbench.training.recipes import recipes_for, selection_of, train_backends
from rdbench.video.clip import ClipInfo

TARGETS = ("arousal", "valence")


class Few:
    """A handful of very short clips of the synthetic set."""

    name = "few"
    inner = SyntheticDataset(seconds=0.24)

    def __init__(self, *names):
        self.names = names or ("train_01", "train_02", "dev_01", "test_01")

    def index(self):
        return [ClipInfo(name, name, name.partition("_")[0]) for name in self.names]

    def load(self, name):
        return self.inner.load(name)


class Unlabelled(Few):
    def load(self, name):
        from dataclasses import replace

        clip = super().load(name)
        return replace(clip, labels=None) if name.startswith("test") else clip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RDBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_specialists_are_alike_in_everything_but_the_factor():
    recipes = recipes_for("direct", "lite", TARGETS, seed=3)
    assert [recipe.factors for recipe in recipes] == [(factor,) for factor in FACTORS]
    assert len({recipe.model_copy(update={"factors": (1,)}) for recipe in recipes}) == 1
    assert len({recipe.stem for recipe in recipes}) == len(FACTORS)
    assert {recipe.seed for recipe in recipes} == {3}
    assert [recipe.factors for recipe in recipes_for("direct", "lite", TARGETS, (8, 2, 8))] == [(8,), (2,)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("direct", "huge", TARGETS), "no 'direct@huge'; sizes are paper and lite"),
        (
            ("direct", "lite", TARGETS, (0,)),
            "direct@lite cannot be trained so: factors: .*whole numbers from 1",
        ),
        (("direct", "lite", TARGETS, (-2,)), "cannot be trained so: factors"),
    ],
)
def test_senseless_wishes_are_named(arguments, said):
    with pytest.raises(InputError, match=said):
        recipes_for(*arguments)
    with pytest.raises(InputError, match=r"seed: .*greater than or equal to 0, got -1"):
        recipes_for("direct", "lite", TARGETS, seed=-1)


def test_every_recogniser_has_the_same_budget_and_those_with_equal_starts_the_same_rate():
    fields = ("epochs", "batch", "stride", "decay", "dropout", "loss", "average", "shift")
    recipes = [
        recipe
        for model in MODELS
        for recipe in recipes_for(model, "lite", TARGETS)
        # What has seen what codecs leave, or more people, is no ablation of the others, and says its own budget.
        if recipe.targets and recipe.epochs and model not in ("coded-mix", "wide-mix")
    ]
    assert len({tuple(getattr(recipe, name) for name in fields) for recipe in recipes}) == 1
    from_sr = {recipe.rate for recipe in recipes if any(stem.startswith("sr-") for _, stem in recipe.start)}
    others = {
        recipe.rate for recipe in recipes if not any(stem.startswith("sr-") for _, stem in recipe.start)
    }
    assert len(from_sr) == len(others) == 1
    # A tenth of the one is the other: convolutions learn alike, wherever they start.
    assert 0.1 * from_sr.pop() == pytest.approx(others.pop())


def test_what_others_start_from_is_trained_first_and_for_the_same_factors():
    for model in MODELS:
        made = set()
        for recipe in recipes_for(model, "lite", TARGETS, (8, 3)):
            assert {stem for _, stem in recipe.start} <= made
            made.add(recipe.stem)
    assert [recipe.stem for recipe in recipes_for("max-mix", "lite", TARGETS, (8, 3))] == [
        "sr-max-lite-face-x8",
        "max-mix-lite-face",
    ]


def test_fewer_epochs_are_fewer_for_all_but_never_for_a_model_that_does_not_learn():
    epochs = {recipe.stem: recipe.epochs for recipe in recipes_for("separate", "lite", TARGETS, epochs=2)}
    assert epochs == {"restorer-lite-face": 2, "hr-lite-face-x1": 2, "separate-lite-face": 0}


def test_a_model_of_its_own_budget_keeps_it_unless_another_is_asked_for():
    (own,) = recipes_for("wide-mix", "lite", TARGETS)
    assert (own.people, own.epochs, own.start) == (288, 32, ())
    (few,) = recipes_for("wide-mix", "lite", TARGETS, people=3, epochs=1)
    assert (few.people, few.epochs) == (3, 1)
    assert {recipe.people for recipe in recipes_for("max-mix", "lite", TARGETS)} == {96}


def test_each_learns_from_as_many_people_as_it_asks_for_whatever_is_trained_beside_it(monkeypatch, tmp_path):
    read, learned = [], {}

    def faces(recipe, dataset, progress, factors):
        read.append((recipe.people, factors))
        return recipe.people

    def train(recipe, *_, faces, **options):
        learned[recipe.backend] = faces
        return tmp_path / recipe.stem

    monkeypatch.setattr(strategies, "training_faces", faces)
    monkeypatch.setattr(strategies, "train", train)
    files = train_backends(["wide-mix", "hr", "max-mix"], Few(), tmp_path, factors=(2, 4))
    assert learned == {"wide-mix": 288, "hr": 96, "sr-max": 96, "max-mix": 96}
    assert read == [(288, (2, 4)), (96, (1, 2, 4))]
    assert {file.name for file in files} >= {"wide-mix-lite-face", "max-mix-lite-face"}
    learned.clear()
    train_backends(["wide-mix", "hr"], Few(), tmp_path, factors=(2,), people=1)
    assert learned == {"wide-mix": 1, "hr": 1}


def test_the_epoch_is_chosen_on_dev_only_where_test_is_what_is_reported():
    assert selection_of(Few()) == "dev"
    assert selection_of(Unlabelled()) == "train"
    assert selection_of(Few("train_01", "train_02", "dev_01")) == "train"
    assert selection_of(Few("train_01", "train_02", "test_01")) == "train"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dirct@lite", "no way to train 'dirct'; did you mean 'direct@lite'"),
        ("zzz", "no way to train 'zzz'; there are constant, sr-max, .*direct"),
        ("constant@lite", "constant has no sizes"),
        ("direct@huge", "no 'direct@huge'"),
    ],
)
def test_a_back_end_that_cannot_be_trained_gets_a_hint(tmp_path, name, said):
    with pytest.raises(InputError, match=said):
        train_backends([name], Few(), tmp_path)


def test_constant_is_the_mean_of_the_train_labels(tmp_path):
    files = train_backends(["constant"], Few(), tmp_path, stride=1)
    assert files == [tmp_path / FILE]
    backend = open_constant(None, tmp_path, "cpu")
    said = backend.start(Context(1, "face", 96.0, 25.0))(np.zeros((1, 96, 96), np.float32))
    clips = [Few().load(name).labels.values for name in ("train_01", "train_02")]
    np.testing.assert_allclose(said[0], np.concatenate(clips).mean(axis=0), atol=1e-3)


def test_an_annotation_delay_is_kept_in_recipe_and_command(tmp_path):
    file = train_backends(["constant"], Few(), tmp_path, delay=0.08)[0]
    card = read_weights(file).card
    assert card.recipe.delay == 0.08
    assert "--delay 0.08" in card.command
    with pytest.raises(InputError, match="0 to 8 s"):
        train_backends(["constant"], Few(), tmp_path, delay=9)
    recipe = recipes_for("direct", "lite", ("valence",), (2,), delay=1.2)[0]
    assert recipe.delay == 1.2
    with pytest.raises(InputError, match="delay"):
        recipes_for("direct", "lite", ("valence",), (2,), delay=9)


def test_trained_specialists_open_as_a_back_end_and_predict(tmp_path, monkeypatch):
    # Twelve frames are fewer than a batch of the real recipe.
    def small(backend, size, targets, factors=(), **changes):
        return recipes_for(backend, size, targets, factors, batch=4, stride=1, **changes)

    monkeypatch.setattr(strategies, "recipes_for", small)
    told = []
    dataset = Few()
    files = train_backends(
        ["direct"],
        dataset,
        tmp_path,
        factors=(8, 2),
        targets=("valence",),
        seed=2,
        epochs=1,
        progress=told.append,
    )
    assert [file.name for file in files] == [f"direct-lite-face-x{factor}.safetensors" for factor in (8, 2)]
    card = read_weights(files[0]).card
    assert card.command == (
        "rdbench train direct@lite --dataset few --factor 8 --target valence --seed 2 --epochs 1 --stride 1"
    )
    assert card.recipe.select_on == "dev"
    assert card.face_px == pytest.approx(12)
    backend = open_direct("lite", tmp_path, "cpu")
    assert backend.targets == ("valence",)
    faces = load_faces(dataset, "dev", (8,), ("valence",))
    luma = np.clip((faces.luma[8].astype(np.float32) - 16) / 219, 0, 1)
    said = backend.start(Context(8, "face", 12.0, 25.0))(luma)
    assert said.shape == (6, 1)
    assert np.isfinite(said).all()
    # Each recording is read once for all factors.
    assert sum("train_01" in str(line) for line in told) == 1


def test_a_stride_thins_the_faces_and_is_part_of_the_command(tmp_path, monkeypatch):
    def small(backend, size, targets, factors=(), **changes):
        return recipes_for(backend, size, targets, factors, batch=4, **changes)

    monkeypatch.setattr(strategies, "recipes_for", small)
    asked = {"factors": (8,), "targets": ("valence",), "epochs": 1}
    cards = [
        read_weights(
            train_backends(["direct"], Few(), tmp_path / str(stride), stride=stride, **asked)[0]
        ).card
        for stride in (1, 3)
    ]
    assert [card.frames for card in cards] == [12, 4]
    assert [card.recipe.stride for card in cards] == [1, 3]
    assert cards[1].command == cards[0].command.replace("--stride 1", "--stride 3")


def test_the_command_line_hands_its_stride_and_people_on(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(strategies, "train_backends", lambda *_, **options: given.append(options) or [])
    for words, asked in ((("--stride", "4", "--people", "0"), (4, 0)), ((), (None, None))):
        done = CliRunner().invoke(main, ["train", "direct@lite", "--out", str(tmp_path), *words])
        assert done.exit_code == 0, done.output
        assert (given[-1]["stride"], given[-1]["people"]) == asked
    (recipe,) = recipes_for("direct", "lite", TARGETS, (2,))
    assert (recipe.stride, recipe.people) == (5, 96)
    assert CliRunner().invoke(main, ["train", "direct@lite", "--stride", "0"]).exit_code == 2


def test_a_quarter_of_the_train_subjects_is_used_where_dev_is_reported(tmp_path, monkeypatch):
    def small(backend, size, targets, factors=(), **changes):
        return recipes_for(backend, size, targets, factors, batch=4, stride=1, **changes)

    monkeypatch.setattr(strategies, "recipes_for", small)
    told = []
    file = train_backends(["direct"], Unlabelled(), tmp_path, factors=(8,), epochs=1, progress=told.append)[0]
    card = read_weights(file).card
    assert card.recipe.select_on == "train"
    assert card.frames == 6
    assert not any("dev_01" in str(line) for line in told)


def test_what_starts_from_others_is_trained_from_a_dataset_with_all_that_it_starts_from(
    tmp_path, monkeypatch
):
    def small(backend, size, targets, factors=(), **changes):
        return recipes_for(backend, size, targets, factors, **(changes | {"batch": 4, "stride": 1}))

    monkeypatch.setattr(strategies, "recipes_for", small)
    told = []
    given = {"factors": (2, 8), "epochs": 1, "progress": told.append}
    files = train_backends(["joint"], Few(), tmp_path, **given)
    assert [file.stem for file in files] == [
        "sr-max-lite-face-x8",
        "joint-lite-face-x2",
        "joint-lite-face-x8",
    ]
    super_resolver = read_weights(files[0])
    assert super_resolver.card.train_mean == {}
    card = read_weights(files[1]).card
    assert card.parents == {"sr-max-lite-face-x8": super_resolver.hash}
    # Without factor 8, it would start from another super-resolver.
    assert "--factor 2 --factor 8" in card.command
    # Faces to be restored are the same with and without labels, so what was made for one serves the other.
    train_backends(["sr-max"], Few(), tmp_path, **given)
    assert any("sr-max-lite-face-x8.safetensors: made before" in str(line) for line in told)


@pytest.mark.long
def test_several_back_ends_share_what_they_start_from_and_one_reading(tmp_path, monkeypatch):
    def small(backend, size, targets, factors=(), **changes):
        return recipes_for(backend, size, targets, factors, **(changes | {"batch": 4, "stride": 1}))

    monkeypatch.setattr(strategies, "recipes_for", small)
    told = []
    given = {"factors": (2, 8), "epochs": 1}
    files = train_backends(
        ["hr", "max-mix", "max-max@lite", "constant"], Few(), tmp_path, progress=told.append, **given
    )
    assert [file.stem for file in files] == [
        *("constant", "hr-lite-face-x1", "sr-max-lite-face-x8", "max-mix-lite-face", "max-max-lite-face-x8")
    ]
    assert sum("dev_01" in str(line) for line in told) == 1
    (alone,) = train_backends(["hr"], Few(), tmp_path / "alone", **given)
    assert read_weights(alone).hash == read_weights(files[1]).hash
    with pytest.raises(InputError, match="no way to train 'zzz'"):
        train_backends(["hr", "zzz"], Few(), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_who_goes_on_needs_weights_of_the_own_name_alone(tmp_path):
    (one_for_all,) = recipes_for("max-mix", "lite", ("a",), (1, 4), onward=True)
    assert one_for_all.start == ()
    assert one_for_all.rates
    # What is only put together still needs its parts.
    stems = [recipe.stem for recipe in recipes_for("separate", "lite", ("a",), (1, 4), onward=True)]
    assert stems == ["restorer-lite-face", "hr-lite-face-x1", "separate-lite-face"]
    shipped = weights_folder(None)
    for name, how, says in (
        (
            "direct",
            {"factors": (5,)},
            r"no direct-lite-face-x5\.safetensors in .*; it has direct-lite-face-x1,",
        ),
        ("hr@paper", {}, "to start from; it has none of hr@paper"),
        ("direct", {"factors": (4,), "out": shipped}, "--start and --out are both"),
    ):
        with pytest.raises(InputError, match=says):
            train_backends([name], Few(), how.pop("out", tmp_path), start=shipped, **how)


def test_one_for_all_goes_on_from_the_weights_that_ship(tmp_path, monkeypatch):
    def small(backend, size, targets, factors=(), **changes):
        return recipes_for(backend, size, targets, factors, **(changes | {"batch": 4, "stride": 1}))

    monkeypatch.setattr(strategies, "recipes_for", small)
    shipped = weights_folder(None)
    (file,) = train_backends(["max-mix"], Few(), tmp_path, factors=(2, 8), epochs=1, start=shipped)
    card = read_weights(file).card
    assert card.parents == {"max-mix-lite-face": read_weights(shipped / file.name).hash}
    assert card.command.endswith("--start shipped")
