"""What could know the answer is refused with the way on which it would; what provably does not is allowed."""

import polars as pl
import pytest

from treadle.check.leaks import find_label_namesakes, find_leaks, find_same_tables
from treadle.experiment.spec import Data, Features
from treadle.lineage.graph import trace

TEXT, MOMENT, LATE = {"dtype": "str"}, {"dtype": "datetime"}, {"dtype": "int", "known_after_prediction": True}
COLUMNS = {"id": {**TEXT, "unique": True}, "next_id": TEXT, "card": TEXT, "at": MOMENT, "fraud": LATE}
OUTCOMES = {"id": TEXT, "at": MOMENT, "fraud": {"dtype": "int"}}
SAME_ROW = {"table": "tx", "by": {"id": "id"}, "columns": {"x": "fraud"}}
NEXT_ROW = {"table": "tx", "by": {"next_id": "id"}, "columns": {"x": "fraud"}}
OUTCOME = {"table": "outcomes", "by": {"id": "id"}, "columns": {"outcome": "fraud"}}


def declare(*, tx=None, known=(), look=None, label="fraud = 1", **tables):
    """Transactions, and what is looked back at: `{"table": …, "columns": …}`."""
    history = {"h": {"by": {"card": "card"}, "window": "1d", **look}} if look else {}
    made = [*known, *(name for name in (look or {}).get("columns", ()))]
    data = {
        "task": "binary",
        "tables": {"tx": {"path": "data/tx.parquet", "columns": COLUMNS, "known_at": "at", **(tx or {})}, **tables},
        "examples": {"table": "tx", "predict_at": "at", "known": list(known), "label": label, "history": history},
        "split": {"by": "random", "valid": 0.2, "test": 0.2, "seed": 0},
    }
    features = {"blocks": {"all": {"columns": made, "steps": {}}}}
    return Data.model_validate(data), Features.model_validate(features)


def find(data, features, root):
    return [str(leak) for leak in find_leaks(trace(data, features), data, same=find_same_tables(data, root=root))]


def table(path, columns, **rest):
    return {"path": path, "columns": columns, **rest}


OWN = "the example's own row"
TELLS = "holds the example's label"
UNTOLD = "does not depend on when it is known"
CASES = {
    "the label's column by a key of its own": (
        {"tx": {"joins": {"j": SAME_ROW}, "known_at": None}, "known": ["x"]},
        "all.x <- examples.x <- tx.x <- tx.fraud (known only after the prediction)",
    ),
    "another name of the same column": (
        {"tx": {"columns": {**COLUMNS, "other": {"dtype": "int", "source": "fraud"}}}, "known": ["other"]},
        "all.other <- examples.other <- tx.other (in the file it is tx.fraud: known only after the prediction)",
    ),
    "a join to the same file": (
        {
            "tx": {"joins": {"j": {**SAME_ROW, "table": "twin"}}},
            "known": ["x"],
            "twin": table("data/./tx.parquet", {"id": TEXT, "fraud": {"dtype": "int"}}),
        },
        "all.x <- examples.x <- tx.x <- twin.fraud (in the file it is tx.fraud: known only after the prediction)",
    ),
    "a past row that takes the label of the next": (
        {"tx": {"joins": {"j": NEXT_ROW}}, "look": {"table": "tx", "columns": {"rate": "AVG(x)"}}},
        OWN,
    ),
    "a past row that takes it by way of a derived column": (
        {
            "tx": {"joins": {"j": NEXT_ROW}, "derive": {"z": "x + 1", "seen": "at"}},
            "look": {"table": "tx", "columns": {"rate": "SUM(z)"}},
        },
        "all.rate <- examples.rate <- tx.z <- tx.x <- tx.fraud (",
    ),
    "a past row of another table that takes the label": (
        {
            "look": {"table": "payments", "columns": {"rate": "AVG(x)"}},
            "payments": table(
                "data/p.parquet",
                {"id": TEXT, "card": TEXT, "at": MOMENT},
                known_at="at",
                joins={"j": SAME_ROW},
            ),
        },
        OWN,
    ),
    "a key in the past that is the label": (
        {"tx": {"joins": {"j": NEXT_ROW}}, "look": {"table": "tx", "by": {"card": "x"}, "columns": {"n": "COUNT(*)"}}},
        OWN,
    ),
    "an outcome that is known later than its row": (
        {
            "tx": {"joins": {"j": OUTCOME}},
            "label": "outcome = 1",
            "look": {"table": "tx", "columns": {"rate": "AVG(outcome)"}},
            "outcomes": table("data/o.parquet", OUTCOMES, known_at="at"),
        },
        UNTOLD,
    ),
    "an outcome that several rows share": (
        {
            "tx": {"joins": {"j": {**OUTCOME, "by": {"card": "id"}}}},
            "label": "outcome = 1",
            "look": {"table": "tx", "columns": {"rate": "AVG(outcome)"}},
            "outcomes": table("data/o.parquet", OUTCOMES),
        },
        TELLS,
    ),
    "an outcome of each row, which is known with it": (
        {
            "tx": {"joins": {"j": OUTCOME}},
            "label": "outcome = 1",
            "look": {"table": "tx", "columns": {"rate": "AVG(outcome)"}},
            "outcomes": table("data/o.parquet", OUTCOMES),
        },
        None,
    ),
    "an outcome whose moment is that of its row": (
        {
            "tx": {"joins": {"j": {**OUTCOME, "columns": {"outcome": "fraud", "told": "at"}}}, "known_at": "told"},
            "label": "outcome = 1",
            "look": {"table": "tx", "columns": {"rate": "AVG(outcome)"}},
            "outcomes": table("data/o.parquet", OUTCOMES, known_at="at"),
        },
        None,
    ),
    "outcomes of others, by their own moment": (
        {
            "tx": {"joins": {"j": OUTCOME}},
            "label": "outcome = 1",
            "look": {"table": "outcomes", "by": {"card": "id"}, "columns": {"rate": "AVG(fraud)"}},
            "outcomes": table("data/o.parquet", OUTCOMES, known_at="at"),
        },
        None,
    ),
    "the label's column of past rows": ({"look": {"table": "tx", "columns": {"rate": "AVG(fraud)"}}}, None),
    "what was known all along": (
        {
            "tx": {"joins": {"j": {"table": "cards", "by": {"card": "card"}, "columns": {"x": "age"}}}},
            "known": ["x"],
            "look": {"table": "tx", "columns": {"age_mean": "AVG(x)"}},
            "cards": table("data/c.parquet", {"card": TEXT, "age": {"dtype": "int"}}),
        },
        None,
    ),
}


@pytest.mark.parametrize(("known", "leaks"), [([], 0), (["ring"], 1)], ids=["the rule", "and a feature"])
def test_a_rule_may_read_what_is_known_later_and_a_feature_may_not(tmp_path, known, leaks):
    columns = {**COLUMNS, "ring": {**TEXT, "known_after_prediction": True}}
    data, features = declare(tx={"columns": columns}, known=["card", *known])
    rules = {"rules": {"ring": "ring IS NOT NULL"}, "rows": "all", "model": "majority", "balance": "votes"}
    data = Data.model_validate({**data.model_dump(), "labels": rules})

    assert len(find(data, features, tmp_path)) == leaks


@pytest.mark.parametrize(("declared", "told"), CASES.values(), ids=CASES)
def test_what_cannot_be_proved_is_refused_with_its_way(tmp_path, declared, told):
    found = find(*declare(**declared), tmp_path)

    assert len(found) == (told is not None), found
    assert all(told in text for text in found)


@pytest.mark.parametrize("how", ["symlink", "hard link", "copy"])
def test_a_file_is_the_same_by_any_path(tmp_path, how):
    path = tmp_path / "data" / "tx.parquet"
    path.parent.mkdir()
    pl.DataFrame({"id": ["a"]}).write_parquet(path)
    other = tmp_path / "other.parquet"
    {
        "symlink": lambda: other.symlink_to(path),
        "hard link": lambda: other.hardlink_to(path),
        "copy": lambda: other.write_bytes(path.read_bytes()),
    }[how]()
    join = {**SAME_ROW, "table": "twin"}
    data, features = declare(
        tx={"joins": {"j": join}}, known=["x"], twin=table("*.parquet", {"id": TEXT, "fraud": {"dtype": "int"}})
    )

    (told,) = find(data, features, tmp_path)

    assert "in the file it is tx.fraud" in told


@pytest.mark.parametrize(
    ("path", "column", "doubted"),
    [
        ("data/log.csv", "fraud", ["log.fraud"]),
        ("data/log.csv", "amount", []),
        ("data/tx.parquet", "fraud", []),
    ],
    ids=["the label's column of another file", "another column", "the label's column of the same file"],
)
def test_what_cannot_be_distinguished_from_the_own_row_is_doubted(tmp_path, path, column, doubted):
    columns = {"card": TEXT, "at": MOMENT, "fraud": LATE, "amount": {"dtype": "int"}}
    data, features = declare(
        look={"table": "log", "columns": {"rate": f"AVG({column})"}}, log=table(path, columns, known_at="at")
    )

    doubts = list(find_label_namesakes(trace(data, features), data, same=find_same_tables(data, root=tmp_path)))

    assert [source for _, source in doubts] == doubted
    assert all(node.name == "examples.rate" for node, _ in doubts)
