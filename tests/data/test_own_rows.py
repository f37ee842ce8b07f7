"""An example never knows the rows that it is made of; what it knows of others, held against a search by hand."""

import math
from datetime import datetime, timedelta
from random import Random
from shutil import copyfile

import polars as pl
import pytest

from treadle.data.prepare import build_examples
from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.schema import ROW, SPLITS

NOW = datetime(2026, 1, 1)  # noqa: DTZ001
START = datetime(2024, 2, 28, 20)  # noqa: DTZ001 - before a leap day
SPAN = timedelta(hours=6)
ODD = [None, math.nan, math.inf, -math.inf, 1e300, 1e-300, 0.0]
COLUMNS = {
    "k": {"dtype": "str", "nullable": True},
    "j": {"dtype": "int", "nullable": True},
    "at": {"dtype": "datetime"},
    "seen": {"dtype": "datetime", "nullable": True},
    "v": {"dtype": "float", "nullable": True, "known_after_prediction": True},
    "y": {"dtype": "float", "known_after_prediction": True},
}
LOOK = {"by": {"k": "k", "j": "j"}}
ASKED = {"mean": "AVG(v)", "total": "SUM(v)", "values": "COUNT(v)", "rows": "COUNT(*)", "label_mean": "AVG(y)"}


def draw(seed, count):
    """Rows of few keys and few moments: some known when asked, some before, later or never, some twice in the file."""
    random = Random(seed)  # noqa: S311 - rows, no secrets

    def moment():
        return START + timedelta(minutes=30 * random.randrange(192))

    rows = []
    for _ in range(count):
        at = moment()
        seen = random.choice([at, at, moment(), at - timedelta(hours=1), None])
        key = {"k": random.choice(["x", "y", "", None]), "j": random.choice([0, 1, None])}
        value = random.choice(ODD) if random.random() < 0.2 else random.gauss(0, 1)
        rows.append({**key, "at": at, "seen": seen, "v": value, "y": random.gauss(0, 1)})
    return rows + [dict(row) for row in random.sample(rows, 3)]


def write(rows, path):
    path.parent.mkdir(exist_ok=True)
    pl.DataFrame(rows, schema_overrides={"j": pl.Int64}, infer_schema_length=None).write_parquet(path)


def declare(*, looked_at, path="data/a.parquet", other="data/a.parquet"):
    table = {"columns": COLUMNS, "known_at": "seen"}
    return {
        "task": "regression",
        "tables": {"a": {"path": path, **table}, "b": {"path": other, **table}},
        "examples": {
            "table": "a",
            "predict_at": "at",
            "known": [],
            "label": "y",
            "asof": {"newest": {"table": looked_at, "within": "6h", "columns": {"newest": "y"}, **LOOK}},
            "history": {"window": {"table": looked_at, "window": "6h", "columns": ASKED, **LOOK}},
        },
        "split": {"by": "random", "valid": 0.2, "test": 0.2, "seed": 0},
    }


def build(data, folder):
    examples = build_examples(Data.model_validate(data), root=folder, now=NOW, scratch=folder)
    return pl.concat(map(examples.take, SPLITS)).sort(ROW).to_dicts()


def search(example, others):
    """The columns of the past, by looking at each row; `others` are without the example's own."""
    key = (example["k"], example["j"])
    same = [row for row in others if row["k"] and row["j"] is not None and (row["k"], row["j"]) == key]
    same = [row for row in same if row["seen"] is not None and row["seen"] <= example["at"]]
    window = [row for row in same if row["seen"] > example["at"] - SPAN]
    values = [row["v"] for row in window if row["v"] is not None and math.isfinite(row["v"])]
    recent = [row for row in same if row["seen"] >= example["at"] - SPAN]
    last = max((row["seen"] for row in recent), default=None)
    return {
        "mean": math.fsum(values) / len(values) if values else None,
        "total": math.fsum(values),
        "values": len(values),
        "rows": len(window),
        "label_mean": math.fsum(row["y"] for row in window) / len(window) if window else None,
        "largest": max(map(abs, values), default=0.0),
        "newest": next((row["y"] for row in reversed(recent) if row["seen"] == last), None),
    }


def require_equal(found, wanted):
    """Each of the wanted values, but for digits that its largest value costs a sum that cancels."""
    scale = 1e-14 * max(1.0, wanted.pop("largest"))
    for name, value in wanted.items():
        assert found[name] == (value if value is None else pytest.approx(value, rel=1e-9, abs=scale)), name


@pytest.mark.parametrize(
    ("looked_at", "path", "other"),
    [
        ("a", "data/a.parquet", "data/a.parquet"),
        ("b", "data/a.parquet", "data/../data/a.parquet"),
        ("b", "data/a.parquet", "data/*.parquet"),
        ("b", "data/*.parquet", "data/a.parquet"),
        ("b", "data/a.parquet", "data/copy.parquet"),
        ("b", "data/a.parquet", "data/others.parquet"),
    ],
    ids=[
        "its own table",
        "a table of the same file",
        "a table of more files",
        "a table of fewer",
        "a copy",
        "other rows",
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_the_own_row_counts_in_no_window_and_no_lookup(tmp_path, seed, looked_at, path, other):
    """`0.parquet` comes before the file that both tables read."""
    files = {"data/0.parquet": draw(seed, 40), "data/a.parquet": draw(seed + 9, 200)}
    for name, rows in files.items():
        write(rows, tmp_path / name)
    if "copy" in other:
        copyfile(tmp_path / path, tmp_path / other)
    if "others" in other:
        files[other] = draw(seed + 5, 200)
        write(files[other], tmp_path / other)
    every = [row for rows in files.values() for row in rows]
    rows = every if "*" in path else files[path]
    past = every if "*" in other else files.get(other, files["data/a.parquet"])

    found = build(declare(looked_at=looked_at, path=path, other=other), tmp_path)

    assert len(found) == len(rows)
    for example in found:
        row = rows[example[ROW]]
        require_equal(example, search(row, [other for other in past if other is not row]))


def test_the_row_that_reveals_the_label_is_left_out_too(tmp_path):
    """Two visits of one patient share an outcome, which is known with the first of them."""
    at = [START + timedelta(hours=hour) for hour in range(4)]
    visits = {"patient": ["p", "p", "q", "r"], "at": at}
    outcomes = {"patient": ["q", "r", "p"], "ward": ["w"] * 3, "told": [at[0], at[1], at[0]], "died": [0, 1, 1]}
    (tmp_path / "data").mkdir()
    pl.DataFrame({**visits, "ward": ["w"] * 4}).write_parquet(tmp_path / "data" / "visits.parquet")
    pl.DataFrame(outcomes).write_parquet(tmp_path / "data" / "outcomes.parquet")
    text = {"dtype": "str"}
    look = {"table": "outcomes", "by": {"ward": "ward"}}
    data = {
        "task": "binary",
        "tables": {
            "visits": {
                "path": "data/visits.parquet",
                "columns": {"patient": text, "ward": text, "at": {"dtype": "datetime"}},
                "joins": {"end": {"table": "outcomes", "by": {"patient": "patient"}, "columns": {"died": "died"}}},
                "derive": {"bad_end": "died = 1"},
            },
            "outcomes": {
                "path": "data/outcomes.parquet",
                "columns": {"patient": text, "ward": text, "told": {"dtype": "datetime"}, "died": {"dtype": "int"}},
                "known_at": "told",
            },
        },
        "examples": {
            "table": "visits",
            "predict_at": "at",
            "known": [],
            "label": "bad_end",
            "asof": {"last": {**look, "within": "1d", "columns": {"last": "patient"}}},
            "history": {"past": {**look, "window": "1d", "columns": {"others": "COUNT(*)", "deaths": "SUM(died)"}}},
        },
        "split": {"by": "random", "valid": 0.25, "test": 0.25, "seed": 0},
    }

    found = build(data, tmp_path)

    assert [row["others"] for row in found] == [1, 2, 2, 2]
    assert [row["deaths"] for row in found] == [0, 1, 2, 1]
    assert [row["last"] for row in found] == ["q", "r", "r", "p"]


def test_a_shared_file_that_is_read_in_two_ways_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text(
        'k,j,at,seen,v,y\n"x,0,2024-01-01,2024-01-01,1,1\nx",0,2024-01-02,2024-01-02,1,1\n'
    )
    data = declare(looked_at="b", path="data/a.csv", other="data/a.csv")
    data["tables"]["a"]["quote"] = ""

    with pytest.raises(TreadleError, match=r"data\.tables\.b: reads 1 rows from a\.csv, and 'a' 2; read the file"):
        build(data, tmp_path)


def test_a_copy_in_another_format_is_refused(tmp_path):
    write(draw(0, 100), tmp_path / "data" / "a.parquet")
    pl.read_parquet(tmp_path / "data" / "a.parquet").write_csv(tmp_path / "data" / "log.csv")

    with pytest.raises(TreadleError, match=r"'b' holds \d+ of the 103 examples of 'a' once more, in another file"):
        build(declare(looked_at="b", other="data/log.csv"), tmp_path)


def test_outcomes_of_another_file_that_are_known_after_the_prediction_are_no_copies(tmp_path):
    """All that the two files share, the label too, is the same; customer a's first outcome is known to the second."""
    opened = [START + timedelta(days=day) for day in range(4)]
    closed = [moment + timedelta(days=1) for moment in opened]
    loans = pl.DataFrame({"id": [1, 2, 3, 4], "customer": ["a", "b", "a", "b"], "defaulted": [1, 0, 0, 1]})
    (tmp_path / "data").mkdir()
    loans.with_columns(opened_at=pl.Series(opened)).write_parquet(tmp_path / "data" / "loans.parquet")
    loans.with_columns(closed_at=pl.Series(closed)).write_parquet(tmp_path / "data" / "outcomes.parquet")
    shared = {"id": {"dtype": "int"}, "customer": {"dtype": "str"}, "defaulted": {"dtype": "int"}}
    moment = {"dtype": "datetime"}
    past = {"table": "outcomes", "by": {"customer": "customer"}, "window": "9d", "columns": {"bad": "SUM(defaulted)"}}
    data = {
        "task": "binary",
        "tables": {
            "loans": {"path": "data/loans.parquet", "columns": {**shared, "opened_at": moment}},
            "outcomes": {
                "path": "data/outcomes.parquet",
                "columns": {**shared, "closed_at": moment},
                "known_at": "closed_at",
            },
        },
        "examples": {
            "table": "loans",
            "predict_at": "opened_at",
            "known": [],
            "label": "defaulted",
            "history": {"past": past},
        },
        "split": {"by": "random", "valid": 0.25, "test": 0.25, "seed": 0},
    }

    assert [row["bad"] for row in build(data, tmp_path)] == [0, 0, 1, 0]

    data["tables"]["outcomes"]["known_at"] = "closed_at - INTERVAL '1 day'"
    with pytest.raises(TreadleError, match="holds 4 of the 4 examples of 'loans' once more"):
        build(data, tmp_path)
