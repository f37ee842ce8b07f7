"""The contract of the examples' table holds for rows to predict, too."""

import polars as pl
import pytest

from treadle.bundle import BreachError, BreachWarning, load
from treadle.cli.commands.prediction import REJECTED
from treadle.cli.main import main
from treadle.errors import TreadleError

SOUND = {"age": 30, "capital-gain": 0, "hours-per-week": 40, "workclass": "Astronaut", "education": "x", "race": "p"}
BROKEN = {
    "above": ({"age": 300}, ("age", "must be at most 120", "300")),
    "below": ({"capital-gain": -500}, ("capital-gain", "must be at least 0", "-500")),
    "missing": ({"hours-per-week": None}, ("hours-per-week", "must not be missing", None)),
    "a category that is missing": ({"race": None}, ("race", "must not be missing", None)),
}


@pytest.fixture
def batch(tmp_path):
    rows = pl.DataFrame([SOUND, {**SOUND, "age": 300, "capital-gain": -1}, {**SOUND, "age": 50}])
    rows.write_parquet(tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def predict(tiny, batch, output, *options):
    return main(["predict", str(tiny), str(batch), "-o", str(output), *options])


@pytest.mark.parametrize(("changed", "breach"), BROKEN.values(), ids=BROKEN)
def test_a_row_that_the_contract_calls_impossible_is_refused(tiny, changed, breach):
    bundle = load(tiny)

    with pytest.raises(BreachError, match=rf"1 of 2 rows break the contract\n  {breach[0]}: {breach[1]}; .*row 2"):
        bundle.predict([SOUND, {**SOUND, **changed}])

    assert bundle.find_breaches([SOUND, {**SOUND, **changed}]).rows() == [(1, *breach)]


def test_unseen_values_are_valid_where_the_contract_allows_them(tiny):
    assert load(tiny).find_breaches(SOUND).is_empty()
    assert len(load(tiny).predict(SOUND)) == 1


@pytest.mark.slow
def test_a_value_outside_those_allowed_is_refused(bundle, rows):
    with pytest.raises(BreachError, match="gender: must be one of 'Male', 'Female'; 2 rows do not, such as row 1: 'X'"):
        bundle.predict(rows.head(2).with_columns(gender=pl.lit("X")))


def test_what_happens_can_be_set_when_loading_and_when_predicting(tiny):
    broken = {**SOUND, "age": 300}
    allowed = load(tiny, on_breach="allow").predict(broken)

    with pytest.warns(BreachWarning, match="age: must be at most 120"):
        assert load(tiny, on_breach="warn").predict(broken).equals(allowed)
    assert load(tiny).predict(broken, on_breach="allow").equals(allowed)
    with pytest.raises(TreadleError, match="on_breach must be one of refuse, warn, allow; found 'ignore'"):
        load(tiny, on_breach="ignore")


def test_rows_of_a_file_that_break_the_contract_have_no_prediction_and_are_listed(tiny, batch, tmp_path, capsys):
    output = tmp_path / "out.csv"

    assert predict(tiny, batch, output) == REJECTED

    predicted, rejected = pl.read_csv(output)["probability"], pl.read_csv(tmp_path / "out.rejected.csv")
    alone = load(tiny).predict(pl.read_parquet(batch)[[0, 2]])["probability"].to_list()
    assert predicted.to_list() == [pytest.approx(alone[0]), None, pytest.approx(alone[1])]
    assert rejected.rows() == [(1, "age", "must be at most 120", 300), (1, "capital-gain", "must be at least 0", -1)]
    assert "1 of 3 rows break the contract" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["warn", "allow"])
def test_a_file_is_predicted_whole_where_breaches_are_not_refused(tiny, batch, tmp_path, capsys, policy):
    (tmp_path / "out.rejected.parquet").write_text("of an earlier batch")

    assert predict(tiny, batch, tmp_path / "out.parquet", "--on-breach", policy) == 0

    assert pl.read_parquet(tmp_path / "out.parquet")["probability"].null_count() == 0
    assert not (tmp_path / "out.rejected.parquet").exists()
    assert ("break the contract" in capsys.readouterr().err) == (policy == "warn")
