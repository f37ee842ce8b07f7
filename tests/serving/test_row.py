"""The row program gives the inputs that Polars gives, to the last bit."""

import orjson
import polars as pl
import pytest
import torch

from served import make_bundle, read_known
from treadle.experiment.spec import Column
from treadle.serving.expressions import UnknownError
from treadle.serving.readers import OddError, list_types, make_reader, to_cells, to_frame
from treadle.serving.row import RowProgram, make_rows

BUNDLES = ("adult", "california", "diamonds", "reviews")
NUM_ROWS = {"reviews": 500}  # of thousands of inputs each


@pytest.fixture(scope="module", params=BUNDLES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def bundle(name):
    return make_bundle(name)


@pytest.mark.slow
def test_real_rows_get_the_same_cells_inputs_and_predictions(bundle, name):
    rows = read_known(name).tail(NUM_ROWS.get(name, 4_000))
    readers = {column: make_reader(spec) for column, spec in bundle.columns.items()}
    given = [orjson.loads(orjson.dumps(row)) for row in rows.to_dicts()]
    frame = bundle.conform(rows)

    cells = [tuple(read(row[column]) for column, read in readers.items()) for row in given]
    inputs = RowProgram(bundle).encode(cells)

    assert cells == to_cells(frame)
    wanted = bundle.featurizer(frame)
    assert torch.equal(inputs.ids, wanted.ids)
    assert torch.equal(inputs.numeric, wanted.numeric)
    with torch.no_grad():
        assert torch.equal(bundle.predict_inputs(inputs), bundle.compute(frame))


@pytest.mark.parametrize("seed", range(3))
def test_made_rows_with_gaps_and_new_words_get_the_same_inputs(bundle, seed):
    cells = make_rows(bundle, seed=100 + seed, count=500)

    inputs = RowProgram(bundle).encode(cells)

    wanted = bundle.featurizer(to_frame(cells, list_types(bundle.columns)))
    assert any(None in row for row in cells)
    assert torch.equal(inputs.ids, wanted.ids)
    assert torch.equal(inputs.numeric, wanted.numeric)


def test_a_row_alone_gets_the_inputs_that_it_gets_among_others(bundle):
    program = RowProgram(bundle)
    cells = make_rows(bundle, seed=5, count=20)

    together = program.encode(cells)

    for place, row in enumerate(cells):
        alone = program.encode([row])
        assert torch.equal(alone.numeric[0], together.numeric[place])
        assert torch.equal(alone.ids[0], together.ids[place])


def test_no_rows_have_inputs_of_no_rows(bundle):
    assert [len(part) for part in RowProgram(bundle).encode([])] == [0, 0, 0]


def test_a_bundle_with_an_expression_that_only_polars_knows_has_no_program():
    bundle = make_bundle("adult", num_rows=200, derive={"start": "SUBSTR(workclass, 1, 3)"})

    with pytest.raises(UnknownError, match=r"features\.derive\.start: SUBSTR"):
        RowProgram(bundle)


def test_decimals_are_exact_until_they_are_numbers():
    impute = {"_target_": "treadle.features.transforms.Impute", "strategy": "median", "indicator": False}
    derive = {"part": "fnlwgt * 0.0001", "more": "part * 3 + age"}
    bundle = make_bundle("adult", num_rows=500, derive=derive, steps={"impute": impute})
    cells = make_rows(bundle, seed=1, count=500)

    inputs = RowProgram(bundle).encode(cells)

    assert torch.equal(inputs.numeric, bundle.featurizer(to_frame(cells, list_types(bundle.columns))).numeric)
    with pytest.raises(UnknownError, match="a decimal as a category"):
        RowProgram(make_bundle("adult", num_rows=200, derive=derive))


def test_a_program_that_differs_from_polars_is_refused(monkeypatch):
    bundle = make_bundle("diamonds", num_rows=200)
    monkeypatch.setattr("treadle.serving.scalars.divide", lambda left, right: left / (right or 1) + 1)

    with pytest.raises(UnknownError, match="differ from those of Polars"):
        RowProgram(bundle)


@pytest.mark.parametrize(
    ("column", "value", "cell"),
    [
        ({"dtype": "int"}, 7, 7),
        ({"dtype": "int"}, 7.0, 7),
        ({"dtype": "float"}, 7, 7.0),
        ({"dtype": "str", "missing": ["?"]}, "?", None),
        ({"dtype": "str", "spellings": ["Main"]}, "MAIN", "Main"),
        ({"dtype": "bool"}, False, False),
        ({"dtype": "date"}, "2024-02-29", 19_782),
        ({"dtype": "datetime"}, "1970-01-02T00:00:01.5Z", 86_401_500_000),
        ({"dtype": "datetime"}, None, None),
    ],
    ids=str,
)
def test_plain_values_are_read_as_polars_reads_them(column, value, cell):
    column = Column.model_validate({**column, "nullable": True})

    found = make_reader(column)(value)

    from treadle.bundle.conform import conform_rows

    assert found == cell
    assert to_cells(conform_rows({"v": value}, {"v": column})) == [(cell,)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ({"dtype": "int"}, True),
        ({"dtype": "int"}, "7"),
        ({"dtype": "int"}, 7.5),
        ({"dtype": "int"}, 2**63),
        ({"dtype": "int", "missing": ["-1"]}, -1),
        ({"dtype": "float"}, 2**60),
        ({"dtype": "float"}, float("inf")),
        ({"dtype": "float", "missing": ["1.000"], "decimal": ",", "thousands": "."}, 1000),
        ({"dtype": "str"}, " a"),
        ({"dtype": "str"}, 5),
        ({"dtype": "bool"}, 1),
        ({"dtype": "date"}, "2023-02-29"),
        ({"dtype": "datetime"}, "2024-01-01T10:00:00+01:00"),
        ({"dtype": "datetime"}, "2024-01-01T10:00:60"),
        ({"dtype": "datetime", "format": "%d/%m/%Y"}, "01/02/2024"),
        ({"dtype": "time"}, "10:00"),
    ],
    ids=str,
)
def test_other_values_are_odd(column, value):
    with pytest.raises(OddError):
        make_reader(Column.model_validate(column))(value)


def test_cells_and_frames_are_two_forms_of_the_same_rows():
    frame = pl.DataFrame({"n": [1, None], "m": ["a", "b"]}, schema={"n": pl.Int64(), "m": pl.String()})

    assert to_frame(to_cells(frame), frame.schema).equals(frame)
