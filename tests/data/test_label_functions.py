"""Training rows that rules label: which they are, what they weigh, and what is said of the rules."""

import json
from datetime import datetime

import polars as pl
import pytest

from treadle.check.resolve import resolve
from treadle.data.prepare import prepare
from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.schema import LABEL, SHARES, WEIGHT

NOW = datetime(2026, 1, 1)  # noqa: DTZ001
RULES = {
    "one": "CASE WHEN a > 0 THEN TRUE END",
    "two": "CASE WHEN b > 0 THEN TRUE WHEN b < 0 THEN FALSE END",
}
ROWS = [  # set, a, b, y: the label, which may be missing
    ("train", 1, 1, None),
    ("train", 1, -1, None),
    ("train", 0, -1, None),
    ("train", 0, 0, None),
    ("train", 0, 0, 1),
    ("train", 1, 1, 0),
    ("valid", 0, 1, 1),
    ("valid", 1, -1, 0),
    ("valid", 1, 1, None),
    ("test", 0, 0, 0),
    ("test", 0, 0, 1),
]


@pytest.fixture
def make(tmp_path):
    """Examples of ROWS with label functions, and their summary."""

    def make(given=ROWS, *, weight=None, task="binary", **labels):
        table = pl.DataFrame(given, schema=["set", "a", "b", "y"], orient="row")
        table.write_parquet(tmp_path / "rows.parquet")
        answer = "int" if task == "binary" else "str"
        columns = {name: {"dtype": "int"} for name in "ab"} | {"set": {"dtype": "str"}}
        data = {
            "task": task,
            "tables": {
                "rows": {"path": "rows.parquet", "columns": {**columns, "y": {"dtype": answer, "nullable": True}}}
            },
            "examples": {"table": "rows", "known": ["a", "b"], "label": "y", "weight": weight},
            "labels": {"rules": RULES, "rows": "unlabelled", "model": "triplets", "balance": "validation", **labels},
            "split": {
                "by": "column",
                "column": "set",
                "train": ["train"],
                "valid": ["valid"],
                "test": ["test"],
                "seed": 0,
            },
        }
        prepare(Data.model_validate(data), root=tmp_path, folder=tmp_path / "out", now=NOW, unsplit=None)
        frames = {split: pl.read_parquet(tmp_path / "out" / f"{split}.parquet") for split in ("train", "valid", "test")}
        return frames, json.loads((tmp_path / "out" / "summary.json").read_text())

    return make


def test_rows_without_a_label_get_one_by_votes_and_the_others_keep_theirs(make):
    frames, summary = make(weight="2")

    train = frames["train"].unnest(SHARES)
    assert train.select("row", LABEL, WEIGHT, "negative", "positive").rows() == [
        (0, 1.0, 2.0, 0.0, 1.0),  # both say so
        (1, 0.0, 2.0, 0.5, 0.5),  # one against one
        (2, 0.0, 2.0, 1.0, 0.0),
        (4, 1.0, 2.0, 0.0, 1.0),  # its own
        (5, 0.0, 2.0, 1.0, 0.0),  # its own, whatever the rules say
    ]
    assert frames["valid"][LABEL].to_list() == [1.0, 0.0]
    assert summary["left_out"] == {
        "between the splits": 0,
        "no label, outside of training": 1,
        "no label, and no rule votes": 1,
    }


def test_the_summary_says_what_each_rule_did(make):
    labels = make()[1]["labels"]

    assert labels["model"] == "majority"  # of two rules
    assert labels["rows"] == {"by own label": 2, "by rules": 3}
    assert labels["rules"]["one"] == {
        "coverage": pytest.approx(3 / 6),
        "overlap": pytest.approx(3 / 6),
        "conflict": pytest.approx(1 / 6),
        "estimated_accuracy": None,
        "known_accuracy": 0.0,  # rows 5 and 7
        "known_rows": 2,
    }
    assert labels["known"] == {"rows": 1, "accuracy": 0.0, "majority_accuracy": 0.0}


def test_rules_may_label_all_rows_whatever_their_own_label_is(make):
    frames, summary = make(rows="all")

    assert frames["train"]["row"].to_list() == [0, 1, 2, 5]
    assert frames["train"][LABEL].to_list()[-1] == 1.0
    assert summary["labels"]["rows"] == {"by own label": 0, "by rules": 4}


def test_rules_vote_for_classes_by_their_names(make):
    names = {0: "no", 1: "yes", None: None}
    rules = {"one": "CASE WHEN a > 0 THEN 'yes' END", "two": "CASE WHEN b < 0 THEN 'no' END"}

    frames, _ = make([(*row[:3], names[row[3]]) for row in ROWS], task="multiclass", rules=rules, model="majority")

    assert frames["train"][LABEL].to_list() == ["yes", "no", "no", "yes", "no"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rules": {"odd": "a + 1"}}, r"rules\.odd: votes for what is no class in 3 rows, such as row 0 \(2\.0\)"),
        (
            {"rules": {"mute": "CASE WHEN a > 9 THEN TRUE END"}, "rows": "all"},
            "no rule votes for any of 6 training rows",
        ),
        (
            {"balance": {"negative": 0.5, "yes": 0.5}},
            r"balance: the classes are negative, positive; .* \['positive', 'yes'\]",
        ),
        ({"rows_": [row for row in ROWS if row[0] != "test"] + [("test", 0, 0, None)]}, "no row of test has a label"),
        (
            {"rows_": [row for row in ROWS if row[:4] != ("valid", 0, 1, 1)]},
            "no validation row is of the class 'positive'",
        ),
    ],
    ids=["another class", "no vote", "balance of others", "test without a label", "validation without a class"],
)
def test_what_cannot_be_labelled_is_refused_with_the_reason(make, changes, said):
    changes = dict(changes)
    rows = changes.pop("rows_", ROWS)

    with pytest.raises(TreadleError, match=said):
        make(rows, **changes)


def test_rules_of_thumb_label_adult_better_than_their_majority(root, tmp_path):
    experiment = resolve(overrides=["experiment=adult_rules"], root=root).experiment

    prepare(experiment.data, root=root, folder=tmp_path / "out", now=NOW, unsplit=None)

    labels = json.loads((tmp_path / "out" / "summary.json").read_text())["labels"]
    assert labels["model"] == "triplets"
    assert labels["known"]["accuracy"] > labels["known"]["majority_accuracy"] + 0.05
    for rule in labels["rules"].values():
        assert rule["estimated_accuracy"] == pytest.approx(rule["known_accuracy"], abs=0.13)


def test_of_very_many_classes_the_likeliest_stays_however_unlikely(make):
    names = [f"{number:03}" for number in range(150)]
    own = [("valid", 0, 0, name) for name in names] + [("train", 0, 0, name) for name in names]
    rules = {f"r{place}": f"CASE WHEN a = 1 THEN '{name}' END" for place, name in enumerate(names)}

    frames, _ = make(
        [*own, ("test", 0, 0, "000"), ("train", 1, 0, None)], task="multiclass", rules=rules, model="majority"
    )

    shares = frames["train"].filter(pl.col("row") == len(own) + 1)[SHARES].struct.unnest()
    assert sum(shares.row(0)) == pytest.approx(1)
