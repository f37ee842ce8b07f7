"""A bundle is safe to load, and takes whatever rows it is given."""

import json
import math
import shutil
from dataclasses import replace
from datetime import date

import polars as pl
import pytest
import torch
import yaml

from runs import find_run, run_quick
from treadle.bundle import load, to_prediction
from treadle.rows import read_rows
from treadle.schema import TreadleError


@pytest.fixture(scope="module")
def trained(tmp_path_factory, root):
    """A run on adult: numbers, categories, missing values."""
    project = tmp_path_factory.mktemp("adult")
    (project / "conf").symlink_to(root / "conf")
    (project / "data").symlink_to(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        run_quick("experiment=adult", "tracker=disabled", "schedule.max_epochs=1", verb="train")
        yield find_run(project)


@pytest.fixture
def bundle(trained):
    return load(trained)


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained / "bundle", tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def rows(trained):
    return pl.read_parquet(trained / "examples" / "test.parquet")


def test_rows_come_as_a_frame_as_a_list_and_alone(bundle, rows):
    few = rows.head(3)

    frame = bundle.predict(few)

    assert frame.columns == ["row", "probability"]
    assert frame["row"].equals(few["row"])
    for given in (few.to_dicts(), [few.to_dicts()[0]], few.to_dicts()[0]):
        found = bundle.predict(given)["probability"]
        assert found.to_list() == pytest.approx(frame["probability"][: len(found)].to_list(), abs=1e-6)


def test_order_and_other_columns_do_not_matter(bundle, rows):
    mixed = rows.select(*reversed(rows.columns), pl.lit(1).alias("something else"))

    assert bundle.predict(mixed).equals(bundle.predict(rows))


@pytest.mark.parametrize("empty", [[], pl.DataFrame()], ids=["list", "frame"])
def test_no_rows_give_no_predictions(bundle, rows, empty):
    predicted = bundle.predict(rows[:0] if isinstance(empty, pl.DataFrame) else empty)

    assert len(predicted) == 0
    assert predicted.schema["probability"] == pl.Float32


def test_unseen_categories_nulls_and_infinities_get_a_probability(bundle, rows):
    strange = rows.head(3).with_columns(
        workclass=pl.lit("Astronaut"),
        occupation=pl.lit(None, dtype=pl.String),
        age=pl.Series([math.inf, -math.inf, math.nan]),
    )
    bundle.schema["age"] = "Float64"

    probability = bundle.predict(strange)["probability"]

    assert probability.is_between(0, 1).all()


def test_the_contracts_marks_of_a_missing_value_are_missing(bundle, rows):
    few = rows.head(3)
    marked, missing = (few.with_columns(workclass=pl.lit(v, dtype=pl.String)) for v in ("?", None))

    assert bundle.predict(marked).equals(bundle.predict(missing))


def test_a_missing_column_is_named(bundle, rows):
    with pytest.raises(TreadleError, match=r"no column 'age'. .*Allowed"):
        bundle.predict(rows.drop("age"))


def test_a_value_of_the_wrong_type_is_named(bundle, rows):
    with pytest.raises(TreadleError, match="the column 'age' must be of type Int64"):
        bundle.predict(rows.head(2).with_columns(age=pl.lit("old")))


def test_threads_do_not_change_the_numbers(bundle, rows):
    one = bundle.predict(rows)
    before = torch.get_num_threads()
    torch.set_num_threads(2)

    try:
        assert bundle.predict(rows).equals(one)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# --- loading ----------------------------------------------------------------------------------------------


def rewrite_card(folder, **changes):
    card = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**card, **changes}))


def sign_anew(folder, name):
    import hashlib

    card = json.loads((folder / "bundle.json").read_text())
    card["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(card))


def test_a_damaged_file_is_refused(copy):
    (copy / "network.pt").write_bytes((copy / "network.pt").read_bytes()[:-1] + b"x")

    with pytest.raises(TreadleError, match=r"network.pt is damaged"):
        load(copy)


def test_a_missing_file_is_named(copy):
    (copy / "network.pt").unlink()

    with pytest.raises(TreadleError, match=r"network.pt is missing from the bundle"):
        load(copy)


def test_a_file_may_not_lead_out_of_the_bundle(copy, tmp_path):
    shutil.move(copy / "network.pt", tmp_path / "elsewhere.pt")
    (copy / "network.pt").symlink_to(tmp_path / "elsewhere.pt")

    with pytest.raises(TreadleError, match="leads out of its bundle"):
        load(copy)


def test_a_card_cannot_name_other_files(copy):
    card = json.loads((copy / "bundle.json").read_text())
    rewrite_card(copy, files={**card["files"], "../../secret": "0"})

    with pytest.raises(TreadleError, match="must list the files"):
        load(copy)


@pytest.mark.parametrize("target", ["os.system", "treadle.bundle.load", "treadle.models.mlp.nn.Linear"])
def test_a_bundle_cannot_build_what_its_reader_does_not_allow(copy, target):
    experiment = yaml.safe_load((copy / "experiment.yaml").read_text())
    experiment["model"] = {"_target_": target}
    experiment["targets"] = ["os.", "treadle."]
    (copy / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    sign_anew(copy, "experiment.yaml")

    with pytest.raises(TreadleError, match=r"outside the allowed|does not exist"):
        load(copy)


def test_yaml_and_weights_execute_nothing(copy, tmp_path):
    harm = tmp_path / "harm"
    (copy / "experiment.yaml").write_text(f"model: !!python/object/apply:os.system ['touch {harm}']\n")
    sign_anew(copy, "experiment.yaml")
    with pytest.raises(yaml.YAMLError):
        load(copy)

    class Harm:
        def __reduce__(self):
            return (open, (str(harm), "w"))

    shutil.rmtree(copy / "nothing", ignore_errors=True)
    torch.save({"x": Harm()}, copy / "network.pt")
    with pytest.raises(Exception, match=r"weights_only|Unsupported"):
        torch.load(copy / "network.pt", weights_only=True)
    assert not harm.exists()


def test_members_are_averaged_as_probabilities():
    output = torch.tensor([[[4.0], [-4.0], [0.0]]])

    assert to_prediction(output, task="binary").tolist() == pytest.approx([0.5])
    assert to_prediction(output, task="regression").tolist() == pytest.approx([0.0])
    assert to_prediction(torch.zeros(2, 3, 4), task="multiclass").shape == (2, 4)


# --- raw rows ---------------------------------------------------------------------------------------------

RAW = """\
id;row;Größe;Kauf am;neu;Ort;y
1;7;1.234,5;03.02.2021;ja;Köln;1
2;8;?;;;Bonn ;0
"""


@pytest.fixture
def messy(bundle):
    """The bundle's road for rows, with another table: texts as a spreadsheet writes them."""
    columns = {
        "number": {"dtype": "int", "source": "row"},
        "size": {"dtype": "float", "source": "Größe", "thousands": ".", "decimal": ",", "missing": ["?"]},
        "bought": {"dtype": "date", "source": "Kauf am", "format": "%d.%m.%Y"},
        "Ort": {"dtype": "str", "missing": ["Bonn"]},
    }
    data = {"tables": {"t": {"path": "t.csv", "separator": ";", "columns": columns}}}
    examples = {"examples": {"table": "t", "known": list(columns)}}
    schema = {"number": "Int64", "size": "Float64", "bought": "Date", "Ort": "String", "made": "Float64"}
    return replace(bundle, schema=schema, experiment={"data": {**data, **examples}})


def test_a_raw_row_is_read_as_the_tables_files_are(messy):
    raw = {"row": "7", "Größe": "1.234,5", "Kauf am": "03.02.2021", "Ort": " Köln", "made": "1.5"}
    typed = {"number": 7, "size": 1234.5, "bought": date(2021, 2, 3), "Ort": " Köln", "made": 1.5}

    assert messy.conform(raw).drop("row").to_dicts() == [typed]
    assert messy.conform(typed).to_dicts() == [typed]


def test_what_is_missing_in_the_files_is_missing_in_a_raw_row(messy):
    raw = {"row": "7", "Größe": " ? ", "Kauf am": "", "Ort": "Bonn ", "made": ""}

    assert set(messy.conform(raw).drop("row", "number").row(0)) == {None}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Größe": "1.5"}, "the column 'size' must be of type Float64: row 1 holds '1.5'"),
        ({"Kauf am": "2021-02-03"}, "the column 'bought' must be of type Date: row 1 holds '2021-02-03'"),
        ({"made": [1]}, "the column 'made' must be of type Float64"),
    ],
)
def test_a_raw_value_that_the_files_could_not_hold_is_refused(messy, changed, message):
    raw = {"row": "7", "Größe": "1,5", "Kauf am": "03.02.2021", "Ort": "Köln", "made": 1.5, **changed}

    with pytest.raises(TreadleError, match=message):
        messy.conform(raw)


def test_rows_of_a_text_file_are_read_as_the_table_is(messy, tmp_path):
    (tmp_path / "rows.csv").write_text(RAW)

    rows = messy.conform(read_rows(tmp_path / "rows.csv", table=messy.table).with_columns(made=0.5))

    assert rows["row"].to_list() == rows["number"].to_list() == [7, 8]
    assert rows["size"].to_list() == [1234.5, None]
    assert rows["bought"].to_list() == [date(2021, 2, 3), None]
    assert rows["Ort"].to_list() == ["Köln", None]
