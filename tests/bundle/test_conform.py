"""Raw rows are read as the tables' files are."""

from dataclasses import replace
from datetime import date

import pytest

from treadle.bundle import read_rows
from treadle.bundle.conform import conform_rows
from treadle.errors import TreadleError
from treadle.experiment.spec import Column, Examples, Table

RAW = """\
id;row;Größe;Kauf am;neu;Ort;y
1;7;1.234,5;03.02.2021;ja;Köln;1
2;8;?;;;Bonn ;0
"""


@pytest.fixture
def messy(bundle):
    """How a bundle conforms rows, with another table: texts as a spreadsheet writes them."""
    columns = {
        "number": {"dtype": "int", "source": "row"},
        "size": {"dtype": "float", "source": "Größe", "thousands": ".", "decimal": ",", "missing": ["?"]},
        "bought": {"dtype": "date", "source": "Kauf am", "format": "%d.%m.%Y"},
        "Ort": {"dtype": "str", "missing": ["Bonn"]},
    }
    table = Table.model_validate({"path": "t.csv", "separator": ";", "columns": columns})
    examples = Examples(table="t", known=list(columns), label="y")
    data = bundle.recipe.data.model_copy(update={"tables": {"t": table}, "examples": examples})
    types = {"number": "Int64", "size": "Float64", "bought": "Date", "Ort": "String", "made": "Float64"}
    return replace(
        bundle,
        card=bundle.card.model_copy(update={"columns": types}),
        recipe=bundle.recipe.model_copy(update={"data": data}),
    )


def test_a_raw_row_is_read_as_the_tables_files_are(messy):
    raw = {"row": "7", "Größe": "1.234,5", "Kauf am": "03.02.2021", "Ort": " Köln", "made": "1.5"}
    typed = {"number": 7, "size": 1234.5, "bought": date(2021, 2, 3), "Ort": "Köln", "made": 1.5}

    assert messy.conform(raw).drop("row").to_dicts() == [typed]
    assert messy.conform(typed).to_dicts() == [typed]


def test_what_is_missing_in_the_files_is_missing_in_a_raw_row(messy):
    raw = {"row": "7", "Größe": " ? ", "Kauf am": "", "Ort": "Bonn ", "made": ""}

    assert set(messy.conform(raw).drop("row", "number").row(0)) == {None}


def test_a_number_for_true_or_false_is_served_as_the_files_are_read():
    columns = {"new": Column.model_validate({"dtype": "bool", "missing": ["-1"]})}

    assert conform_rows([{"new": 0}, {"new": 1}, {"new": -1}], columns)["new"].to_list() == [False, True, None]
    with pytest.raises(TreadleError, match="must be of type Boolean: row 2 holds 2"):
        conform_rows([{"new": 1}, {"new": 2}], columns)


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
