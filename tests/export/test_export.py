"""A folder that other runtimes can use, which gives the bundle's numbers; or an error that says why there is none."""

import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import treadle
from forecasts import make_forecast_project
from served import make_bundle, read_known
from treadle.bundle import BlendBundle
from treadle.bundle.calibration import Isotonic, Temperature
from treadle.cli.main import main
from treadle.errors import TreadleError
from treadle.export.export import export, find_exports, require_free
from treadle.export.formats import FORMATS, Onnx, Pt2
from treadle.export.graph import PredictionGraph
from treadle.export.parity import ParityRows, find_gap
from treadle.export.signature import read_signature

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("exported")]


@pytest.fixture
def forecast_project(tmp_path, monkeypatch):
    make_forecast_project(tmp_path)
    monkeypatch.chdir(tmp_path)


def write(bundle, rows, folder, *, to="pt2"):
    return export(bundle, to=to, rows=rows.lazy(), folder=folder, digest="0" * 64, source="people")


def test_an_onnx_model_gives_the_bundles_predictions_for_any_number_of_rows(exported, bundle):
    session = pytest.importorskip("onnxruntime").InferenceSession(exported / "export" / "onnx" / "model.onnx")
    others = read_known("adult").slice(600, 200)
    raw = bundle.featurizer.read(others)
    wanted = bundle.predict(others)["probability"].to_numpy()

    def ask(start, size):
        inputs = {"numbers": raw.numbers, "ids": raw.ids}
        given = {name: values[start : start + size].contiguous().numpy() for name, values in inputs.items()}
        return session.run(None, given)[0]

    assert np.abs(ask(0, 200) - wanted).max() < 1e-6
    assert np.abs(ask(17, 1) - wanted[17]).max() < 1e-6
    assert len(ask(0, 0)) == 0


def test_the_readme_is_python_that_runs(exported, monkeypatch):
    monkeypatch.chdir(exported / "export" / "onnx")
    text = (exported / "export" / "onnx" / "README.md").read_text()

    exec(text.split("```python\n")[1].split("```")[0], {})  # noqa: S102 - as a reader does

    assert "| `ids` | int64 | `[rows, 8]` | 0 |" in text


def test_the_signature_has_what_makes_a_row_to_inputs(exported, bundle):
    folder = exported / "export" / "onnx"
    signature = read_signature(folder)
    row = read_known("adult").row(5, named=True)

    numbers, ids = signature.inputs
    found = [row[column.name] for column in numbers.columns]
    places = [1 + column.words.index(row[column.name]) if row[column.name] else 0 for column in ids.columns]

    raw = bundle.featurizer.read(read_known("adult")[5:6])
    assert found == raw.numbers[0].tolist()
    assert places == raw.ids[0].tolist()
    assert "null" not in (folder / "signature.json").read_text()
    assert json.loads((folder / "signature.json").read_text())["libraries"].keys() >= {"torch", "onnx"}


@pytest.mark.parametrize(
    "calibration",
    [Temperature(slope=0.8, intercept=0.1), Isotonic.model_validate({"curves": [{"x": [0.3, 0.6], "y": [0.1, 0.9]}]})],
    ids=["temperature", "isotonic"],
)
def test_calibration_is_in_the_graph(bundle, rows, calibration):
    taught = replace(bundle, card=bundle.card.model_copy(update={"calibration": calibration}))
    graph, asked = PredictionGraph(taught).eval(), ParityRows.ask(taught, rows)

    found = find_gap(asked, lambda inputs: graph(*inputs), names=graph.names)

    assert found.share <= 1e-6
    assert asked.predictions[:, 0].tolist() == taught.predict(rows)["probability"].to_list()
    assert not torch.equal(asked.predictions, ParityRows.ask(bundle, rows).predictions)


def test_what_lies_beside_an_export_is_not_lost(tmp_path):
    (tmp_path / "signature.json").write_text("{}")
    (tmp_path / "model.onnx.data").write_text("x")
    require_free(tmp_path)
    (tmp_path / "app.py").write_text("x")

    with pytest.raises(TreadleError, match=r"holds 'app\.py' beside an export, which would be lost"):
        require_free(tmp_path)


@pytest.mark.exhaustive
def test_a_graph_with_other_numbers_is_an_error_with_the_row_and_leaves_nothing(bundle, rows, tmp_path, monkeypatch):
    def open_another(file, *, names):
        call = Pt2.open(file, names=names)
        return lambda inputs: call(inputs) + torch.where(inputs[0][:, 0] == rows["age"].max(), 1e-3, 0.0).float()

    monkeypatch.setitem(FORMATS, "pt2", type("Another", (Pt2,), {"open": staticmethod(open_another)})())

    with pytest.raises(
        TreadleError, match=r"row \d+ of the parity rows is .* by the bundle and .* by the graph"
    ) as caught:
        write(bundle, rows, tmp_path / "out")

    assert f"age={rows['age'].max()}" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.exhaustive
def test_values_of_private_columns_are_not_handed_over(bundle, rows, tmp_path):
    private = replace(bundle)
    private.columns["age"] = private.columns["age"].model_copy(update={"private": True})

    write(private, rows, tmp_path / "out")

    signature = read_signature(tmp_path / "out")
    place = [column.name for column in signature.inputs[0].columns].index("age")
    compared = pl.read_parquet(tmp_path / "out" / "parity.parquet")
    assert compared[f"numbers.{place}"].is_nan().all()
    assert not compared[f"numbers.{place + 1}"].is_nan().any()


@pytest.mark.exhaustive
def test_what_cannot_be_traced_says_so(bundle, rows, tmp_path):
    class Branching(nn.Module):
        def forward(self, numeric, ids):  # noqa: ARG002 - as the bundle calls it
            return numeric[:, :1] if float(numeric.sum()) > 0 else numeric[:, 1:2]

    with pytest.raises(TreadleError, match=r"the model has no graph: torch\.export cannot trace it"):
        write(replace(bundle, model=Branching()), rows, tmp_path / "out")


def test_a_blend_and_trees_say_what_there_is_instead(bundle, rows, tmp_path):
    card = bundle.card.model_copy(update={"members": {"one": 0.25, "two": 0.75}})

    with pytest.raises(TreadleError, match=r"is a blend.*members/one, members/two"):
        write(BlendBundle(card, bundle.recipe, {"one": bundle, "two": bundle}), rows, tmp_path / "out")


def test_a_folder_with_something_else_stays_as_it_is(bundle, rows, tmp_path):
    (tmp_path / "mine").write_text("x")

    with pytest.raises(TreadleError, match="exists already, and is no export"):
        write(bundle, rows, tmp_path)


@pytest.mark.exhaustive
def test_the_command_writes_beside_the_bundle_and_again_in_its_place(exported, tmp_path, capsys, monkeypatch):
    shutil.copytree(exported, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "export" / "onnx")
    monkeypatch.chdir(tmp_path)

    assert main(["export", "run", "--to", "pt2"]) == 0
    assert main(["export", "run/bundle", "--to", "pt2"]) == 0

    assert "pt2  run/export/pt2/model.pt2" in capsys.readouterr().out
    assert find_exports(tmp_path / "run" / "bundle") == tmp_path / "run" / "export"
    compared = ParityRows.load(tmp_path / "run" / "export" / "pt2")
    call = Pt2.open(tmp_path / "run" / "export" / "pt2" / "model.pt2", names=["numbers", "ids"])
    assert find_gap(compared, call, names=["numbers", "ids"]).share <= 1e-6


@pytest.mark.parametrize(
    "asked",
    [
        (["export", "alone", "--to", "pt2"], "is a bundle on its own, in no run's folder; name a folder with -o"),
        (
            ["export", "alone", "--to", "pt2", "-o", "out"],
            "has no examples to compare the graph on; name rows with --rows",
        ),
        (["export", "none", "--to", "pt2"], "no bundle in none"),
    ],
    ids=["folder", "rows", "bundle"],
)
def test_what_is_missing_is_said_before_any_work(exported, tmp_path, capsys, monkeypatch, asked):
    arguments, message = asked
    shutil.copytree(exported / "bundle", tmp_path / "alone")
    monkeypatch.chdir(tmp_path)

    assert main(arguments) != 0

    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["alone"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("to", ["onnx", "pt2", "aoti"])
@pytest.mark.parametrize(
    "model",
    [
        "linear",
        "mlp",
        "mlp_plr",
        "resnet",
        "dcn_v2",
        "ft_transformer",
        "tabm",
        "tabm_piecewise",
        "ensemble",
    ],
)
def test_every_network_has_a_graph_in_every_format(model, to, tmp_path):
    if to == "aoti" and model not in {"mlp", "tabm"}:
        pytest.skip("compiling takes minutes, and asks the same of torch")
    known = read_known("california")

    made = write(make_bundle("california", num_rows=500, model=model), known.tail(100), tmp_path / "out", to=to)

    assert made.parity.largest_difference <= 1e-6


@pytest.mark.parametrize(
    ("name", "model", "wide"),
    [("reviews", "linear", "numbers"), ("reviews_transformer", "text_transformer", "ids")],
    ids=["counted words", "tokens"],
)
def test_texts_are_read_before_the_graph(name, model, wide, tmp_path):
    """Into the shares of words, or into a token at each place."""
    made = write(make_bundle(name, num_rows=300, model=model), read_known(name).tail(20), tmp_path / "out")

    assert made.parity.largest_difference <= 1e-6
    widths = {given.name: given.width for given in read_signature(tmp_path / "out").inputs}
    assert widths[wide] > 100


@pytest.mark.exhaustive
@pytest.mark.usefixtures("forecast_project")
def test_a_forecast_has_a_graph(capsys):
    """Of an example: a series, an origin and a step. Its past is made before the graph."""
    run = treadle.run(["experiment=sales", "tracker=disabled"], upto="train")

    assert main(["export", str(run.path), "--to", "pt2"]) == 0

    assert "64 rows differ from the bundle by at most" in capsys.readouterr().out
    assert read_signature(run.path / "export/pt2").output == "prediction"


def test_onnx_says_which_package_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005 - as it is called

    with pytest.raises(TreadleError, match=r"needs onnx, which is not installed: `pip install 'treadle\[export\]'`"):
        Onnx.require()
