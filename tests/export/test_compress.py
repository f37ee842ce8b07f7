"""A bundle with weights in 8 bits: smaller, nearly as good, and loaded as any other; or an error, and nothing there."""

from dataclasses import replace

import numpy as np
import orjson
import polars as pl
import pytest

import treadle
from runs import QUICK
from runs import treadle as command
from served import ROOT, make_bundle, open_client, read_known, save_run
from treadle.bundle import TARGETS, BlendBundle, Recipe
from treadle.champions.bundles import digest_bundle
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.export.compress import compress
from treadle.export.export import export
from treadle.schema import LABEL, ROW

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def experiment():
    return resolve(overrides=["experiment=adult", "model=mlp"], root=ROOT).experiment


@pytest.fixture(scope="module")
def test(bundle):
    """Rows whose labels are drawn from what the bundle predicts, so that another prediction is worse."""
    rows = read_known("adult").tail(1_000)
    chances = bundle.predict(rows)["probability"].to_numpy()
    labels = np.random.default_rng(0).random(len(rows)) < chances
    return rows.with_columns(pl.Series(LABEL, labels.astype(np.int8))).with_row_index(ROW).lazy()


@pytest.fixture(scope="module")
def write(bundle, experiment, test, tmp_path_factory):
    source = save_run(bundle, tmp_path_factory.mktemp("runs") / "run")

    def write(folder, *, given=bundle, tolerance=0.001):
        return compress(
            given,
            folder=folder,
            source=source / "bundle",
            test=test,
            experiment=experiment,
            tolerance=tolerance,
            targets=TARGETS,
            code="same",
        )

    write.source = source
    return write


def test_a_compressed_bundle_is_smaller_and_predicts_nearly_the_same(write, bundle, test, tmp_path):
    made = write(tmp_path / "small")

    weights, before = ((place / "network.pt").stat().st_size for place in (tmp_path / "small", write.source / "bundle"))
    assert weights < 0.4 * before
    assert 0 < made.num_packed < made.num_tensors
    assert made.size < made.size_before
    loaded = treadle.load(tmp_path / "small")
    found, wanted = (each.predict(test.collect())["probability"].to_numpy() for each in (loaded, bundle))
    assert made.largest_difference == pytest.approx(np.abs(found - wanted).max())
    assert 0 < made.largest_difference < 0.05
    assert made.score == pytest.approx(made.score_before, rel=0.001)
    assert digest_bundle(tmp_path / "small") != digest_bundle(write.source)
    assert (
        command("predict", str(tmp_path / "small"), "data/adult/adult.parquet", "-o", str(tmp_path / "out.parquet"))
        == 0
    )


def test_a_compressed_bundle_is_served_exported_and_not_promoted_by_itself(write, tmp_path, capsys):
    folder = tmp_path / "small"
    write(folder)
    rows = read_known("adult").tail(20)
    wanted = treadle.load(folder).predict(rows)["probability"].to_list()

    with open_client(folder) as client:
        answer = client.post("/predict", content=orjson.dumps(rows.to_dicts())).json()
    made = export(
        treadle.load(folder), to="pt2", rows=rows.lazy(), folder=tmp_path / "out", digest="0" * 64, source="x"
    )

    assert [row["probability"] for row in answer["predictions"]] == wanted
    assert answer["bundle"] == digest_bundle(folder)
    assert made.parity.largest_difference <= 1e-6
    assert command("promote", str(folder)) == 2
    assert "a bundle on its own, without an evaluation" in capsys.readouterr().err


def test_the_members_of_a_blend_that_are_networks_are_compressed(write, bundle, tmp_path):
    trees = make_bundle("adult", num_rows=400, model="linear")
    card = bundle.card.model_copy(update={"members": {"wide": 0.5, "narrow": 0.5}})
    parts = {"wide": {"model": bundle.recipe.model}, "narrow": {"model": trees.recipe.model}}
    recipe = Recipe.model_validate(bundle.recipe.model_dump() | {"model": {"members": parts, "rounds": 2}})
    blend = BlendBundle(card, recipe, {"wide": bundle, "narrow": trees})

    made = write(tmp_path / "small", given=blend)

    loaded = treadle.load(tmp_path / "small")
    assert loaded.members["wide"].card.storage == "int8"
    assert made.num_packed < made.num_tensors


def test_a_model_without_matrices_is_refused(write, tmp_path):
    with pytest.raises(TreadleError, match="nothing can be compressed: its network has no large matrices of weights"):
        write(tmp_path / "small", given=make_narrow())
    assert not list(tmp_path.iterdir())


def make_narrow():
    """A network whose rows of weights are too short to share a scale."""
    from torch import nn

    bundle = make_bundle("adult", num_rows=400)
    return replace(bundle, model=nn.Linear(4, 1))


def test_a_metric_that_becomes_worse_than_allowed_is_an_error_that_leaves_nothing(write, tmp_path):
    with pytest.raises(
        TreadleError, match=r"evaluation\.metric: .* goes from .* to .*, which is worse by more than -1"
    ):
        write(tmp_path / "small", tolerance=-1.0)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_not_overwritten(write, tmp_path):
    (tmp_path / "file").write_text("x")

    with pytest.raises(TreadleError, match="exists already; name a folder that does not, or an empty one"):
        write(tmp_path)


@pytest.mark.usefixtures("project")
def test_the_command_says_what_it_saves_and_what_it_costs(project, capsys):
    run = treadle.run([*QUICK, "tracker=disabled", "evaluation.baselines=[]"], upto="train")
    capsys.readouterr()

    assert command("compress", str(run.path), "-o", "small") == 0

    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("int8  small  ")
    assert said[1].startswith("rmse of 4,128 test rows 0.")
    assert command("compress", "small", "-o", "smaller") != 0
    assert "name the folder of a whole run" in capsys.readouterr().err
