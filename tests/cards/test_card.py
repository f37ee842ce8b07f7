"""The model card and the bill of materials of one run: what they say, and what their schemas say of them."""

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

from runs import find_run, run_quick, treadle
from treadle.cards.bom import list_versions
from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.errors import TreadleError
from treadle.evaluation.model_card import write_model_card
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Claim, ModelCard
from treadle.problems import ConfigError

pytestmark = pytest.mark.slow  # each begins with trained runs or tables that take a second

SCHEMA = json.loads((Path(__file__).parent / "model_card.schema.json").read_text())
WORDS = """\
# Words of a person.
defaults: [none]
summary: Values of houses | in 1990.
licence: apache-2.0
owners: [Ada, Grace]
intended_use: To see how a regression is described.
out_of_scope: [Loans]
claims:
  - {metric: r2, at_least: 0.1}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One evaluated run of a project with a card of its own."""
    from runs import make_project

    folder = tmp_path_factory.mktemp("carded")
    make_project(folder)
    (folder / "conf/card/houses.yaml").write_text(WORDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        slices = "evaluation.slices={columns: [HouseAge], min_rows: 100, candidates: 0}"
        quick = ["evaluation.explanation=null", "evaluation.intervals.resamples=100", "schedule.max_epochs=4"]
        assert run_quick("tracker=disabled", "card=houses", slices, *quick) == 0
    return find_run(folder)


@pytest.fixture
def copied(run, tmp_path):
    return RunFolder(shutil.copytree(run, tmp_path / run.name))


def read_text(run):
    return (run / "evaluation/card.md").read_text()


def test_its_metadata_are_as_hugging_face_reads_them(run):
    metadata = yaml.safe_load(read_text(run).split("---\n")[1])

    jsonschema.validate(metadata, SCHEMA)
    metrics = json.loads((run / "evaluation/metrics.json").read_text())["model"]
    (index,) = metadata["model-index"]
    told = {metric["type"]: metric["value"] for metric in index["results"][0]["metrics"]}
    assert told == {"r_squared" if name == "r2" else name: value for name, value in metrics.items()}
    assert metadata["license"] == "apache-2.0"


def test_it_says_what_a_person_wrote_and_what_was_found(run):
    text = read_text(run)

    assert "Values of houses | in 1990." in text
    assert "Ada, Grace" in text
    assert "- Loans" in text
    assert text.count("*Not stated: only a person can write it") == 4
    assert "| RMSE ↓ |" in text
    assert text.count("\n| HouseAge = ") == 5
    assert re.search(r"\| r2 at least 0\.1 \| [\d.]+ \([\d.]+ to [\d.]+\) \| holds beyond noise \|", text)
    assert "claims no conformity" in text
    assert re.search(r"^\| parameters \| [\d,]+ \|$", text, re.MULTILINE)
    assert re.search(r"^\| confirmed \| \d+ \|$", text, re.MULTILINE)


def test_its_tables_have_as_many_cells_in_each_row(run):
    for table in re.findall(r"(?:^\|.*\|\n)+", read_text(run), flags=re.MULTILINE):
        rows = [len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()]
        assert len(set(rows)) == 1, table


def test_the_same_run_has_the_same_card(run, copied):
    write_model_card(read(copied.resolved).experiment, run=run.name, folder=copied)

    assert copied.card.read_text() == read_text(run)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({"metric": "r2", "at_least": 0.99}, r"card\.claims\.0 \(r2 at least 0\.99\): found 0\.\d+ \("),
        ({"metric": "rmse", "at_least": 0.2, "at_most": 0.3}, r"rmse at least 0\.2 and at most 0\.3\): found"),
        (
            {"metric": "rmse", "at_most": 9, "slice": "HouseAge = 3"},
            r"where HouseAge = 3\): no such number was found; slices: HouseAge = ",
        ),
        ({"metric": "slices.confirmed", "at_least": 3}, r"slices\.confirmed at least 3\): found 0"),
        ({"metric": "fairness.gap", "at_most": 3}, "no such number was found; in fairness: none"),
    ],
    ids=["too high", "between", "no such slice", "of a part", "no such part"],
)
def test_a_claim_that_the_evidence_contradicts_is_refused(copied, claim, reason):
    experiment = read(copied.resolved).experiment
    wrong = experiment.model_copy(update={"card": ModelCard(claims=[Claim(**claim)])})
    before = copied.card.read_text()

    with pytest.raises(TreadleError, match=reason):
        write_model_card(wrong, run="r", folder=copied)

    assert copied.card.read_text() == before


@pytest.mark.parametrize(
    ("claims", "key"),
    [
        ("[{metric: auroc, at_least: 0.5}]", "card.claims.0.metric"),
        ("[{metric: rmse}]", "card.claims.0"),
        ("[{metric: slices.confirmed, at_most: 0, slice: a}]", "card.claims.0.slice"),
    ],
    ids=["of another task", "without a bound", "a part's slice"],
)
def test_a_claim_about_nothing_is_refused_before_anything_runs(root, claims, key):
    with pytest.raises(ConfigError) as caught:
        check(compose(overrides=["experiment=california", f"card.claims={claims}"], root=root))

    assert [problem.key for problem in caught.value.problems] == [key]


def test_a_claim_may_be_about_a_slice(copied):
    experiment = read(copied.resolved).experiment
    name, found = next(iter(json.loads((copied.parts / "slices.json").read_text())["declared"].items()))
    middle = found["rmse"]["value"]
    claims = [Claim(metric="rmse", slice=name, at_most=bound) for bound in (middle + 1e-6, found["rmse"]["high"] + 1)]

    write_model_card(experiment.model_copy(update={"card": ModelCard(claims=claims)}), run="r", folder=copied)

    told = re.findall(rf"where {re.escape(name)} \| .* \| (holds.*) \|", copied.card.read_text())
    assert told == ["holds", "holds beyond noise"]


def test_the_verb_prints_it_or_writes_it(run, tmp_path, capsys):
    assert treadle("card", str(run)) == 0
    assert capsys.readouterr().out == read_text(run)

    assert treadle("card", str(run), "-o", str(tmp_path / "new" / "CARD.md")) == 0
    assert (tmp_path / "new" / "CARD.md").read_text() == read_text(run)


def test_a_folder_that_is_no_evaluated_run_is_refused(run, tmp_path, capsys):
    def refuse(folder):
        assert treadle("card", str(folder)) == 2
        return capsys.readouterr().err

    assert "there is no folder" in refuse(tmp_path / "none")
    assert "is no evaluated run; evaluate it" in refuse(tmp_path)
    assert "has a bundle alone" in refuse(run / "bundle")


@pytest.mark.parametrize(
    ("file", "out", "name"),
    [
        ("data.dvc", "data", "data"),
        ("data/california.dvc", "california", "data/california"),
        ("data/california/california.parquet.dvc", "california.parquet", "data/california/california.parquet"),
    ],
    ids=["all", "folder", "table"],
)
def test_the_versions_of_the_data_are_found_wherever_dvc_keeps_them(copied, tmp_path, file, out, name):
    project = tmp_path / "project"
    (project / "data" / "california").mkdir(parents=True)
    (project / ".dvc").mkdir()
    (project / file).write_text(f"outs:\n- md5: 39511de78a8c4418a4a63239e6c6463c\n  path: {out}\n- path: other\n")

    (found,) = list_versions(read(copied.resolved).experiment, project)

    assert found["name"] == name
    assert found["properties"] == [{"name": "dvc:md5", "value": "39511de78a8c4418a4a63239e6c6463c"}]


def test_the_bill_of_materials_is_cyclonedx_and_complete(run, monkeypatch, capsys):
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    project = run.parents[1]
    (project / "data.dvc").write_text("outs:\n- md5: 39511de78a8c4418a4a63239e6c6463c.dir\n  path: data\n")
    monkeypatch.chdir(project)

    assert treadle("card", str(run), "--bom") == 0

    text = capsys.readouterr().out
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    model = bom["metadata"]["component"]
    names = {part["name"] for part in bom["components"]}
    assert {"data", "examples/train.parquet", "torch", "polars"} <= names
    assert "pytest" not in names
    assert {part["name"] for part in model["components"]} == {path.name for path in (run / "bundle").iterdir()}
    metrics = json.loads((run / "evaluation/metrics.json").read_text())["model"]
    told = {m["type"]: float(m["value"]) for m in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][:3]}
    assert told == metrics
