from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdbench.backends.conformance import check_backend
from rdbench.backends.onnx import open_file, read_settings
from rdbench.backends.protocol import Context, Input
from rdbench.backends.registry import find_backend
from rdbench.errors import EncodeError, InputError, RdbenchError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

CONTEXT = Context(factor=1, region="face", face_px=96.0, fps=25.0)
AFFECT = 'targets = ["arousal", "valence"]\n'


def written(folder: Path, toml: str, model=None, name: str = "net") -> Path:
    file = folder / f"{name}.onnx"
    onnx.save(model if model is not None else means(), file)
    (folder / f"{name}.toml").write_text(toml)
    return file


def means(
    shape=("n", 1, 8, 8), outputs: int = 2, kind=TensorProto.FLOAT, axes=(1, 2, 3), factor: float = 1.0
) -> onnx.ModelProto:
    """A network that gives each picture's mean, times 1, 2, ..."""
    inputs = [helper.make_tensor_value_info("pictures", kind, shape)]
    found = [helper.make_tensor_value_info("values", kind, (shape[0], outputs))]
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weights = (factor * np.arange(1, outputs + 1)).reshape(1, outputs).astype(dtype)
    nodes = [
        helper.make_node("ReduceMean", ["pictures", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["values"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(axes, np.int64), "axes"),
        numpy_helper.from_array(np.array([1], np.int64), "last"),
        numpy_helper.from_array(weights, "weights"),
    ]
    graph = helper.make_graph(nodes, "means", inputs, found, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Our own network, and the same in an ONNX file."""
    import torch

    from rdbench.backends.networks import Recogniser

    torch.manual_seed(0)
    network = Recogniser("lite", 2).eval()
    folder = tmp_path_factory.mktemp("exported")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 1, 96, 96),),
            str(folder / "lite.onnx"),
            dynamo=False,
            input_names=["luma"],
            output_names=["affect"],
            dynamic_axes={"luma": {0: "n"}, "affect": {0: "n"}},
        )
    (folder / "lite.toml").write_text("size = 96\n" + AFFECT)
    return network, folder / "lite.onnx"


@pytest.mark.long
def test_our_own_network_exported_gives_the_same_predictions(exported):
    import torch

    network, file = exported
    backend = find_backend(f"onnx:{file}")
    frames = np.random.default_rng(0).random((70, 96, 96), np.float32)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(frames)[:, None]).numpy()
    np.testing.assert_allclose(backend.start(CONTEXT)(frames), wanted, atol=1e-4)
    assert wanted.std() > 1e-3
    assert check_backend(backend) == []
    assert (backend.name, backend.targets) == ("onnx:lite.onnx", ("arousal", "valence"))
    assert backend.input == Input(96, "luma", 0.0, independent=True)


def test_the_hash_follows_network_and_settings_but_not_the_place(tmp_path):
    toml = "size = 8\n" + AFFECT
    first = open_file(written(tmp_path, toml)).weights
    (tmp_path / "there").mkdir()
    assert open_file(written(tmp_path / "there", toml, name="other")).weights == first
    assert open_file(written(tmp_path, toml + "mean = 0.5\n")).weights != first
    assert open_file(written(tmp_path, toml, means(factor=2))).weights != first
    assert open_file(written(tmp_path, toml + 'trained_on = "mine"\n')).weights == first


@pytest.mark.parametrize(("layout", "shape"), [("NCHW", ("n", 3, 8, 8)), ("NHWC", ("n", 8, 8, 3))])
@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_colour_layout_mean_and_scale_reach_the_network(tmp_path, layout, shape, colour):
    axes = (2, 3) if layout == "NCHW" else (1, 2)
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["pictures", "axes"], ["values"], keepdims=0)],
        "colours",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ("n", 3))],
        [numpy_helper.from_array(np.array(axes, np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    toml = (
        f'size = 8\ncolour = "{colour}"\nlayout = "{layout}"\nrange = 255\nmean = [10, 20.5, 30]\n'
        'scale = [1, 2, 4]\nmargin = 0.3\nbatch = 4\ntargets = ["a", "b", "c"]\n'
    )
    backend = open_file(written(tmp_path, toml, model))
    assert backend.input == Input(8, "rgb", 0.3, independent=True)
    frames = np.random.default_rng(1).random((5, 8, 8, 3), np.float32)
    seen = 255 * frames.mean(axis=(1, 2), dtype=np.float64)
    seen = seen[:, ::-1] if colour == "bgr" else seen
    wanted = (seen - [10, 20.5, 30]) / [1, 2, 4]
    np.testing.assert_allclose(backend.start(CONTEXT)(frames), wanted, rtol=1e-5)
    assert check_backend(backend, tolerance=1e-3) == []


def test_classes_come_as_probabilities_with_and_without_softmax(tmp_path):
    toml = 'size = 8\ntargets = ["expression"]\nclasses = ["neutral", "happy"]\n'
    with pytest.raises(InputError, match=r"softmax = true in net.toml"):
        open_file(written(tmp_path, toml))
    backend = open_file(written(tmp_path, toml + "softmax = true\n"))
    assert backend.classes == ("neutral", "happy")
    found = backend.start(CONTEXT)(np.full((3, 8, 8), 0.5, np.float32))
    wanted = np.exp([0.5, 1.0]) / np.exp([0.5, 1.0]).sum()
    np.testing.assert_allclose(found, np.tile(wanted, (3, 1)), rtol=1e-6)
    assert check_backend(backend) == []


def test_a_fixed_batch_and_half_precision_are_served(tmp_path):
    model = means((4, 1, 8, 8), kind=TensorProto.FLOAT16)
    backend = open_file(written(tmp_path, "size = 8\n" + AFFECT, model))
    frames = np.full((6, 8, 8), 0.25, np.float32)
    np.testing.assert_allclose(backend.start(CONTEXT)(frames), np.tile([0.25, 0.5], (6, 1)), rtol=1e-3)
    with pytest.raises(InputError, match=r"batches of 4, but net.toml says batch = 8"):
        open_file(written(tmp_path, "size = 8\nbatch = 8\n" + AFFECT, model))


@pytest.mark.parametrize(
    ("toml", "model", "said"),
    [
        ("size = 16\n" + AFFECT, {}, "shape \\(n, 1, 8, 8\\), but net.toml says \\(n, 1, 16, 16\\)"),
        ('size = 8\ncolour = "rgb"\n' + AFFECT, {}, "correct one of the two"),
        ('size = 8\nlayout = "NHWC"\n' + AFFECT, {}, "NHWC"),
        ('size = 8\ntargets = ["valence"]\n', {}, "names 1 targets \\(valence\\)"),
        ("size = 8\n" + AFFECT, {"kind": TensorProto.INT32}, "takes tensor\\(int32\\)"),
        ("size = 8\n" + AFFECT, {"shape": ("n", 8, 8), "axes": (1, 2)}, "takes pictures of shape"),
        ('size = 8\noutput = "other"\n' + AFFECT, {}, "no output 'other'; it has values"),
        ("size = 12\n" + AFFECT, {"shape": ("n", "c", "h", "w"), "axes": (1,)}, "gives|cannot be run"),
        ("size = 8\n" + AFFECT, {"factor": np.inf}, "NaN or infinite values for a grey picture"),
    ],
)
def test_what_does_not_fit_is_told_when_it_is_opened(tmp_path, toml, model, said):
    with pytest.raises(InputError, match=said):
        find_backend(f"onnx:{written(tmp_path, toml, means(**model))}")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("", "the key 'size' is missing; the key 'targets' is missing"),
        ("size = 8", "the key 'targets' is missing"),
        ("size = 8.5\n" + AFFECT, "size: Input should be a valid integer"),
        ("size = 100000\n" + AFFECT, "less than or equal to 1024"),
        (
            "size = 8\nsofmax = true\n" + AFFECT,
            r"there is no key 'sofmax'; did you mean 'softmax'\?; there are size, colour",
        ),
        ("size = 8\nscale = 0\n" + AFFECT, "scale cannot be 0"),
        ("size = 8\nmean = nan\n" + AFFECT, "mean"),
        ("size = 8\nmean = [1, 2, 3]\n" + AFFECT, "luma has one mean"),
        ('size = 8\ntargets = ["a", "a"]', "differ"),
        ('size = 8\nclasses = ["x", "y"]\n' + AFFECT, "one target and at least two classes"),
        ("size = 8\nsoftmax = true\n" + AFFECT, "softmax needs classes"),
        ('size = 8\ntargets = ["../x"]', "pattern"),
        ("size = ", "is not TOML in UTF-8"),
    ],
)
def test_settings_are_checked(tmp_path, toml, said):
    with pytest.raises(InputError, match=said):
        open_file(written(tmp_path, toml))


def test_missing_and_damaged_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no file .*gone.onnx"):
        find_backend(f"onnx:{tmp_path / 'gone.onnx'}")
    file = written(tmp_path, "size = 8\n" + AFFECT)
    (tmp_path / "net.toml").unlink()
    with pytest.raises(InputError, match=r"at least size = ... and targets"):
        open_file(file)
    (tmp_path / "net.toml").write_text("size = 8\n" + AFFECT)
    with pytest.raises(InputError, match=r"did you mean 'onnx:net.onnx'"):
        find_backend("net.onnx")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cannot be opened as an ONNX network"):
        open_file(file)
    file.write_bytes(content)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'rdbench\[onnx\]'"):
        open_file(file)


def test_weights_outside_the_file_are_refused(tmp_path, monkeypatch):
    model = means()
    (tmp_path / "secret").write_bytes(np.ones(2, np.float32).tobytes())
    weights = model.graph.initializer[2]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="secret")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "net.toml").write_text("size = 8\n" + AFFECT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="weights inside"):
        open_file(tmp_path / "net.onnx")


def test_a_network_that_gives_nan_later_fails_the_encode(tmp_path):
    graph = means()
    graph.graph.node.append(helper.make_node("Log", ["values"], ["logs"]))
    graph.graph.output[0].name = "logs"
    backend = open_file(written(tmp_path, "size = 8\n" + AFFECT, graph))
    with pytest.raises(EncodeError, match="NaN or infinite"):
        backend.start(CONTEXT)(np.zeros((2, 8, 8), np.float32))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=200).map(str.encode), st.binary(max_size=200)))
def test_only_our_own_errors_come_out_of_any_settings(tmp_path, content):
    (tmp_path / "any.toml").write_bytes(content)
    with contextlib.suppress(RdbenchError):
        read_settings(tmp_path / "any.toml")


FIELDS = st.sampled_from(
    ["size", "colour", "layout", "range", "mean", "scale", "margin", "targets", "classes", "softmax", "batch"]
)
VALUES = st.sampled_from(
    [
        "8",
        "-1",
        "1e999",
        "nan",
        "true",
        '"rgb"',
        '["a", "b"]',
        "[1, 2, 3]",
        "[[1]]",
        "{a = 1}",
        "2020-01-01",
        '""',
    ]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(FIELDS, VALUES))
def test_only_our_own_errors_come_out_of_any_values(tmp_path, table):
    (tmp_path / "any.toml").write_text("".join(f"{name} = {value}\n" for name, value in table.items()))
    with contextlib.suppress(RdbenchError):
        read_settings(tmp_path / "any.toml")


def test_a_run_names_the_file_without_its_folder_and_opens_it_from_anywhere(exported, tmp_path, monkeypatch):
    import shutil

    from rdbench.sweep.experiment import load_experiment, override
    from rdbench.sweep.plan import make_plan

    _, file = exported
    shutil.copytree(file.parent, tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    given = override(load_experiment("quick.toml"), backends=["onnx:here/lite.onnx"])
    plan = make_plan(given)
    assert plan.experiment.backends == ("onnx:lite.onnx",)
    assert plan.setup.backends == (f"onnx:{tmp_path / 'here' / 'lite.onnx'}",)
    assert "onnx:lite.onnx:" in plan.identity["weights"]
    assert str(tmp_path) not in plan.identity["experiment"]
    both = override(given, backends=["onnx:here/lite.onnx", f"onnx:{file}"])
    with pytest.raises(InputError, match=r"both called onnx:lite\.onnx"):
        make_plan(both)
