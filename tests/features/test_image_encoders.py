"""Vectors of images by a frozen model: the numbers that it gives, from the very file that the run was composed with."""

import numpy as np
import polars as pl
import pytest
import torch

pytest.importorskip("PIL")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

import onnx

from pictures import make_png, read_png
from treadle.errors import TreadleError
from treadle.experiment.model_folders import digest_model
from treadle.features.image_encoders import ImageEncoder
from treadle.images import decode_all

FRAME = pl.DataFrame({"front": [None, *(make_png(seed=place) for place in range(5))]})
WEIGHTS = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)


def write_model(file, weights=WEIGHTS, **options):
    """One layer over all pixels."""
    make = onnx.helper
    images, vectors = (
        make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("images", [None, 1, 4, 6]), ("vectors", [None, 3]))
    )
    nodes = [
        make.make_node("Flatten", ["images"], ["flat"]),
        make.make_node("MatMul", ["flat", "weights"], ["vectors"]),
    ]
    graph = make.make_graph(nodes, "tiny", [images], [vectors], [onnx.numpy_helper.from_array(weights, "weights")])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(file), **options)
    return str(file)


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "tiny.onnx")


def build(model, *, revision=None, width=6, mean=(0.5,)):
    size = {"height": 4, "width": width, "channels": 1, "mean": mean, "deviation": [0.25], "batch_size": 2}
    return ImageEncoder(columns=["front"], model=model, revision=revision, **size)


def test_an_image_gets_the_vector_of_the_model_and_a_missing_one_zeros(model):
    step = build(model)
    step.fit(FRAME)

    vectors = step.vectorize(FRAME)

    shades = np.stack([read_png(content).ravel() for content in FRAME["front"].drop_nulls()]) / 255
    assert step.outputs == ["front: 1", "front: 2", "front: 3"]
    assert step.origins == [0, 0, 0]
    assert not vectors[0].any()
    assert torch.allclose(vectors[1:], torch.from_numpy((shades - 0.5) / 0.25 @ WEIGHTS), atol=1e-4)
    assert torch.allclose(step.vectorize(FRAME[3:4])[0], vectors[3], atol=1e-6)


def test_an_image_that_is_there_several_times_is_encoded_once(model, monkeypatch):
    step, encoded = build(model), []
    step.fit(FRAME)
    count = lambda contents, **size: encoded.extend(contents) or decode_all(contents, **size)  # noqa: E731 - one call
    monkeypatch.setattr("treadle.features.image_encoders.decode_all", count)

    vectors = step.vectorize(FRAME[[1, 0, 1, 2, 1]])

    assert len(encoded) == 2
    assert torch.equal(vectors, step.vectorize(FRAME)[[1, 0, 1, 2, 1]])


def test_another_file_in_its_place_is_refused(model, tmp_path):
    digest = digest_model(tmp_path / "tiny.onnx")
    step = build(model, revision=digest)
    step.fit(FRAME)
    again = build(write_model(tmp_path / "other.onnx", WEIGHTS + 1), revision=digest)
    again.set_state(step.get_state())

    with pytest.raises(TreadleError, match=r"other\.onnx is another one: its digest is"):
        again.vectorize(FRAME)


def test_weights_in_another_file_are_refused_even_where_they_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where ONNX Runtime looks for the weights of a model in memory
    model = write_model("whole.onnx", save_as_external_data=True, location="whole.onnx.data", size_threshold=0)

    with pytest.raises(TreadleError, match=r"whole\.onnx keeps weights in other files; .* with its weights inside"):
        build(model).fit(FRAME)


def test_what_is_no_such_model_says_so(model, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")

    for step, told in (
        (build(str(tmp_path / "absent.onnx")), "there is no such file"),
        (build(str(tmp_path / "text.onnx")), "is no model that ONNX Runtime reads"),
        (build(model, width=5), r"does not take images \[1, 1, 4, 5\]"),
    ):
        with pytest.raises(TreadleError, match=told):
            step.fit(FRAME)
    with pytest.raises(TreadleError, match="mean: must list one number"):
        build(model, mean=(0.1, 0.2))
    with pytest.raises(TreadleError, match="must hold the dimension"):
        build(model).set_state({"dim": 0})
