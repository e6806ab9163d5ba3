from __future__ import annotations

import shutil
from importlib.metadata import EntryPoint

import pytest

from rdbench.backends import registry
from rdbench.backends.constant import Constant
from rdbench.backends.registry import find_backend, name_for_workers
from rdbench.backends.weights import read_weights, weights_folder, write_weights
from rdbench.errors import InputError


@pytest.fixture
def entries(monkeypatch):
    """The back-ends that setup.cfg declares, whatever is installed here, and two from elsewhere."""

    def declare(**others):
        known = {
            "constant": "rdbench.backends.constant:open_backend",
            "direct": "rdbench.backends.paper:direct",
        } | others
        found = [EntryPoint(name, value, registry.GROUP) for name, value in known.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: found if group == registry.GROUP else [])

    declare()
    return declare


def test_back_ends_are_listed_in_alphabetical_order(entries):
    entries(another="somewhere:opener")
    assert list(registry.list_backends()) == ["another", "constant", "direct"]
    assert registry.list_backends()["another"] == "somewhere:opener"


def test_a_back_end_is_opened_with_what_was_asked_for(entries, tmp_path, monkeypatch):
    asked = []

    def opener(size, weights, device):
        asked.append((size, weights, device))
        return Constant({"joy": 0.5})

    monkeypatch.setattr("rdbench.backends.constant.open_backend", opener)
    entries(mine="rdbench.backends.constant:open_backend")
    assert registry.find_backend("mine@paper", tmp_path, "cuda").targets == ("joy",)
    registry.find_backend("mine")
    assert asked == [("paper", tmp_path, "cuda"), (None, None, "cpu")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dirct@paper", "no back-end 'dirct'; did you mean 'direct@paper'"),
        ("Direct", "did you mean 'direct'"),
        ("", "no back-end ''; there are constant, direct"),
        ("xyz", "no back-end 'xyz'; there are constant, direct"),
        ("direct@", "names no size after the @"),
        ("direct@huge", "no 'direct@huge'; direct comes in the sizes paper and lite"),
        ("constant@lite", "constant has no sizes"),
    ],
)
def test_a_wrong_name_gets_a_hint(entries, name, said):
    with pytest.raises(InputError, match=said):
        registry.find_backend(name)


@pytest.mark.parametrize("value", ["no_such_module:opener", "rdbench.backends.constant:no_such_opener"])
def test_a_package_that_does_not_import_is_named(entries, value):
    entries(broken=value)
    with pytest.raises(InputError, match=f"'broken' cannot be opened: {value} does not import"):
        registry.find_backend("broken")


def test_the_installed_package_declares_its_back_ends():
    if not registry._found():
        pytest.skip("rdbench is not installed, only on the path")
    assert {"constant", "direct"} <= set(registry.list_backends())


def test_a_seed_names_the_folder_of_its_weights(entries, tmp_path, monkeypatch):
    shutil.copytree(weights_folder(None), tmp_path / "seed-0")
    with pytest.raises(InputError, match=r"no folder .*seed-3, where weights of direct@lite with seed 3"):
        find_backend("direct@lite#3", tmp_path)
    (tmp_path / "seed-0").rename(tmp_path / "seed-3")
    with pytest.raises(InputError, match="was trained with seed 0, but lies in the folder of seed 3"):
        find_backend("direct@lite#3", tmp_path)
    for file in (tmp_path / "seed-3").glob("direct-*.safetensors"):
        read = read_weights(file)
        recipe = read.card.recipe.model_copy(update={"seed": 3})
        write_weights(file, read.tensors, read.card.model_copy(update={"recipe": recipe}))
    backend = find_backend("direct@lite#3", tmp_path)
    assert backend.name == "direct@lite#3"
    assert name_for_workers("direct#3", backend) == "direct@lite#3"
    assert find_backend("direct@lite#0").name == "direct@lite"
