"""A project from any table: it works, or the table is refused with the reason; nothing is left behind."""

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import messy
import numpy as np
import polars as pl
import pytest
import yaml
from omegaconf import OmegaConf

from treadle.bundle import read_rows
from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.data.prepare import prepare
from treadle.errors import TreadleError
from treadle.experiment.spec import Table
from treadle.scaffold.init import Origin, fill, init, name_package
from treadle.scaffold.planning.plan import Request
from treadle.scaffold.writing.yaml_text import to_yaml
from treadle.schema import SPLITS

pytestmark = pytest.mark.fast_cases(8)

NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - tables are in UTC without a zone


class Made:
    """A filled project, and what its files say."""

    def __init__(self, folder, plan):
        self.folder = folder
        self.plan = plan

    def read(self, name):
        return yaml.safe_load((self.folder / "conf" / name / "shop.yaml").read_text(encoding="utf-8"))

    @property
    def columns(self):
        return self.read("data")["tables"]["shop"]["columns"]

    def plan_of(self, name):
        return next(choice.profile.column for choice in self.plan.choices if choice.profile.name == name)

    @property
    def left_out(self):
        return {choice.profile.name: choice.reason for choice in self.plan.left_out}

    @cached_property
    def splits(self):
        experiment = check(compose(overrides=[], root=self.folder))
        prepare(experiment.data, root=self.folder, folder=self.folder / "examples", now=NOW)
        return {name: pl.read_parquet(self.folder / "examples" / f"{name}.parquet") for name in SPLITS}

    @property
    def rows(self):
        return pl.concat(self.splits.values()).sort("row")

    @property
    def excluded(self):
        assert self.splits
        return json.loads((self.folder / "examples" / "summary.json").read_text())["left_out"]


@pytest.fixture
def make(tmp_path):
    def make(*files, target="answer", missing=(), **asked):
        folder = tmp_path / "shop"
        folder.mkdir()
        origin = Origin([str(file) for file in files], missing=missing)
        made = fill(folder, title="shop", package="shop", origin=origin, request=Request(target, **asked))
        return Made(folder, made.plan)

    return make


@pytest.fixture
def refuse(make):
    def refuse(*files, **asked):
        with pytest.raises(TreadleError) as caught:
            make(*files, **asked)
        return str(caught.value)

    return refuse


# --- how a file is written -----------------------------------------------------------------------------


SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "latin-1", "windows-1252"]
TOGETHER = list(zip(itertools.cycle(SEPARATORS), ENCODINGS, strict=False))
APART = [pair for pair in itertools.product(SEPARATORS, ENCODINGS) if pair not in TOGETHER]


@pytest.mark.fast_cases(2)
@pytest.mark.parametrize(
    ("separator", "encoding"), [*TOGETHER, *(pytest.param(*pair, marks=pytest.mark.exhaustive) for pair in APART)]
)
def test_separators_and_encodings(make, tmp_path, separator, encoding):
    columns = messy.make_rows()
    columns["color"] = [{"red": "rosé", "green": "grün", "blue": "bleu"}[c] for c in columns["color"]]
    if encoding == "windows-1252":
        columns["color"] = [c.replace("bleu", "“bleu”") for c in columns["color"]]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns, separator=SEPARATORS[separator], encoding=encoding))

    assert made.rows["color"].to_list() == columns["color"]
    assert made.rows["size"].to_list() == pytest.approx([float(value) for value in columns["size"]])


def test_a_file_of_excel_in_the_east_is_read_and_told(make, tmp_path):
    columns = messy.make_rows()
    columns["цвет"] = [{"red": "красный", "green": "зелёный", "blue": "синий"}[c] for c in columns.pop("color")]
    columns["size"] = [value.replace(".", ",") for value in columns["size"]]
    file = messy.write_csv(tmp_path / "rows.csv", columns, separator=";", encoding="windows-1251", end="\r\n")
    file.write_bytes(b"sep=;\r\n" + file.read_bytes())

    made = make(file)

    assert made.rows["цвет"].to_list() == columns["цвет"]
    assert (
        "encoding: windows-1251  # by its letters, such as 'цвет'" in (made.folder / "conf/data/shop.yaml").read_text()
    )
    table = Table.model_validate(made.read("data")["tables"]["shop"])
    assert read_rows(file, table=table)["цвет"].to_list() == columns["цвет"]


@pytest.mark.parametrize("name", ["rows.tsv", "rows.txt"])
def test_other_suffixes(make, tmp_path, name):
    made = make(messy.write_csv(tmp_path / name, messy.make_rows(), separator="\t"))

    assert len(made.rows) == messy.ROWS


def test_lines_that_end_as_on_windows(make, tmp_path):
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows(), end="\r\n"))

    assert made.plan.target.label == "\"answer\" = 'yes'"


def test_quoted_separators_quotes_and_line_ends(make, tmp_path):
    columns = messy.make_rows()
    columns["color"] = [{"red": 'a "red"\none', "green": "a, b", "blue": "blue"}[c] for c in columns["color"]]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.rows["color"].to_list() == columns["color"]


def test_several_files_are_one_table(make, tmp_path):
    columns = messy.make_rows()
    for part in range(2):
        half = {name: values[part * 100 : part * 100 + 100] for name, values in columns.items()}
        messy.write_csv(tmp_path / f"part{part}.csv", half)

    made = make(tmp_path / "part*.csv")

    assert made.read("data")["tables"]["shop"]["path"] == "data/shop/*.csv"
    assert len(made.rows) == messy.ROWS


# --- what its columns hold -----------------------------------------------------------------------------


def test_question_marks_and_the_like_are_missing(make, tmp_path):
    columns = messy.make_rows()
    columns["size"][:3] = ["?", "N/A", ""]
    columns["color"][:3] = ["?", "NA", ""]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.columns["size"] == {"dtype": "float", "nullable": True, "missing": ["?", "N/A"], "min": 0}
    assert made.columns["color"]["missing"] == ["?", "NA"]
    assert made.rows["size"].null_count() == made.rows["color"].null_count() == 3


def test_a_text_among_numbers_is_missing_and_is_told(make, tmp_path):
    columns = messy.make_rows()
    columns["size"][7] = "not measured"

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.columns["size"]["missing"] == ["not measured"]
    assert "missing where no number: row 8: 'not measured'" in (made.folder / "conf/data/shop.yaml").read_text()


def test_a_text_far_down_a_long_column_is_found(make, tmp_path):
    columns = messy.make_rows(45_001)
    columns["size"][44_997] = "broken"

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.columns["size"]["missing"] == ["broken"]


def test_a_column_of_numbers_and_many_texts_is_one_of_texts(make, tmp_path):
    columns = messy.make_rows()
    columns["size"] = [f"{'x' * (i % 2)}{i % 60}" for i in range(messy.ROWS)]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.columns["size"]["dtype"] == "str"


@pytest.mark.fast_cases(2)
@pytest.mark.parametrize(
    ("form", "declared"),
    [
        (lambda value: f"{value:,.2f}", {"thousands": ","}),
        (lambda value: f"{value:.2f}".replace(".", ","), {"decimal": ","}),
        (lambda value: f"{value:,.2f}".translate(str.maketrans(",.", ".,")), {"thousands": ".", "decimal": ","}),
        (lambda value: f"{value:,.2f}".replace(",", "'"), {"thousands": "'"}),
        (lambda value: f"{value:,.2f}".replace(",", "\u00a0").replace(".", ","), {"thousands": " ", "decimal": ","}),
    ],
    ids=["1,234.5", "1234,5", "1.234,5", "1'234.5", "1 234,5"],
)
def test_numbers_in_groups_and_with_a_comma(make, tmp_path, form, declared):
    columns = messy.make_rows()
    values = [float(value) * 100 for value in columns["size"]]
    columns["size"] = [form(value) for value in values]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns, separator=";"))

    assert {
        key: made.columns["size"][key] for key in made.columns["size"] if key in {"thousands", "decimal"}
    } == declared
    assert made.rows["size"].to_list() == pytest.approx(values)


def test_cells_as_people_write_them(make, tmp_path):
    start = datetime(2021, 4, 6, 21, 1)  # noqa: DTZ001 - as tables have it
    moments = [start + timedelta(days=7 * i, minutes=i) for i in range(messy.ROWS)]
    columns = messy.make_rows() | {
        "price": [f"${i * 1000 + 0.5:,.2f}" if i % 9 else f"(${i + 0.5:,.2f})" for i in range(messy.ROWS)],
        "share": [f"{i % 40} %" for i in range(messy.ROWS)],
        "value": [f"\u20ac{i % 7}.5M" if i % 2 else f"\u20ac{i}K" for i in range(messy.ROWS)],
        "clock": [f"{moment:%H:%M:%S}" for moment in moments],
        "stamp": [str(int(moment.replace(tzinfo=UTC).timestamp()) + 11) for moment in moments],
        "quarter": [f"{moment.year} Q{(moment.month + 2) // 3}" for moment in moments],
        "continent": [("NA", "EU", "AS")[i % 3] for i in range(messy.ROWS)],
        "state": [(" open", "Open ", "closed", "open")[i % 4] for i in range(messy.ROWS)],
        "height": [f"5' {i}\"" if i % 15 == 1 else str(60 + i * 7 % 20) for i in range(messy.ROWS)],
    }

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    rows, keys = made.rows, {name: dict(column) for name, column in made.columns.items()}
    assert rows["price"].head(3).to_list() == [-0.5, 1000.5, 2000.5]
    assert rows["share"].head(3).to_list() == [0, 1, 2]
    assert rows["value"].head(3).to_list() == [0.0, 1_500_000.0, 2_000.0]
    assert rows["clock"].to_list() == [moment.time() for moment in moments]
    assert rows["stamp"].to_list() == [moment + timedelta(seconds=11) for moment in moments]
    assert rows["quarter"][0] == date(2021, 4, 1)
    assert rows["continent"].head(3).to_list() == ["NA", "EU", "AS"]
    assert rows["state"].head(4).to_list() == ["open", "open", "closed", "open"]
    assert rows["height"].head(3).to_list() == [60, None, 74]
    assert keys["state"]["spellings"] == ["open"]
    assert {"clock_minute", "quarter_month"} <= made.read("features")["derive"].keys()


@pytest.mark.parametrize("form", ["%Y", "%Y%m%d", "%s", "%Y Q1"], ids=["years", "yyyymmdd", "epoch", "quarters"])
def test_time_takes_digits_and_quarters(make, tmp_path, form):
    start = datetime(2001, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(days=30 * i) for i in range(messy.ROWS)]
    columns = messy.make_rows() | {"when": [f"{moment:{form}}" for moment in moments]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), time="when")

    assert made.read("data")["split"]["by"] == "time"
    assert made.splits["train"]["predict_at"].max() < made.splits["test"]["predict_at"].min()


def test_infinity_is_missing_in_every_kind_of_file(make, tmp_path):
    columns = messy.make_rows()
    columns["size"][:2] = ["inf", "-inf"]
    frame = pl.DataFrame(columns).with_columns(pl.col("size").cast(float))
    frame.write_parquet(tmp_path / "rows.parquet")

    made = make(tmp_path / "rows.parquet")

    assert made.rows["size"].head(3).null_count() == 2
    assert "infinite in 2 rows, which are read as missing" in (made.folder / "conf/data/shop.yaml").read_text()


def test_a_number_that_means_missing_does_so_however_it_is_written(make, tmp_path):
    columns = messy.make_rows()
    columns["size"][:2] = ["-999.0", "-999"]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), missing=("-999",))

    assert made.rows["size"].head(3).null_count() == 2
    assert made.columns["size"]["min"] == 0


def test_texts_of_a_typed_file_are_numbers_where_they_had_to_be_texts(make, tmp_path):
    columns = messy.make_rows()
    columns["cost"] = [f"${value}" for value in columns["size"]]
    columns["mixed"] = [*columns["size"][:-1], "n/a"]
    pl.DataFrame(columns).write_parquet(tmp_path / "rows.parquet")

    made = make(tmp_path / "rows.parquet")

    assert {name: made.plan_of(name).dtype for name in ("size", "cost", "mixed")} == {
        "size": "str",
        "cost": "float",
        "mixed": "float",
    }


def test_codes_with_a_leading_zero_stay_texts(make, tmp_path):
    columns = messy.make_rows() | {"area": [f"0{i % 30:02d}" for i in range(messy.ROWS)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.columns["area"]["dtype"] == "str"


@pytest.mark.fast_cases(2)
@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d",
        "%d.%m.%Y",
        "%Y-%m-%d %H:%M:%S",
        "%d/%m/%Y %H:%M",
        "%d-%b-%Y",
        "%m/%d/%Y %I:%M %p",
        "%d/%m/%y",
        "%m/%d/%y %H:%M",
    ],
)
def test_dates_in_many_forms_split_by_time(make, tmp_path, form):
    start = np.datetime64("2023-01-01T10:30")
    moments = [(start + np.timedelta64(i, "D")).astype("datetime64[s]").item() for i in range(messy.ROWS)]
    columns = messy.make_rows() | {"seen": [moment.strftime(form) for moment in moments]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), time="seen")

    frames = made.splits
    assert made.read("data")["split"]["by"] == "time"
    assert frames["train"]["predict_at"].max() < frames["valid"]["predict_at"].min()
    assert frames["valid"]["predict_at"].max() < frames["test"]["predict_at"].min()


def test_what_is_useless_is_left_out_with_a_reason(make, tmp_path):
    columns = messy.make_rows() | {
        "id": [str(i) for i in range(messy.ROWS)],
        "same": ["x"] * messy.ROWS,
        "nothing": [""] * messy.ROWS,
        "remark": [f"a remark of a customer, the {i}. of them all" for i in range(messy.ROWS)],
    }
    columns["again"] = columns["size"]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.left_out == {
        "id": "identifier: 200 different values in 200 rows",
        "same": "constant: 'x' in every row",
        "nothing": "it holds no value",
        "remark": "free text, 43 characters on average: no transform here reads sentences",
        "again": "the same values as 'size'",
    }
    assert all(f"#   {name}: " in (made.folder / "conf/data/shop.yaml").read_text() for name in made.left_out)


def test_a_column_that_tells_the_target_is_left_out_unless_asked_for(make, tmp_path):
    columns = messy.make_rows()
    columns["refund"] = ["" if answer == "no" else str(i % 7) for i, answer in enumerate(columns["answer"])]
    file = messy.write_csv(tmp_path / "rows.csv", columns)

    made = make(file)

    assert made.plan.suspects[0].profile.name == "refund"
    assert "refund" not in made.read("data")["examples"]["known"]


def test_keep_takes_a_suspect_in(make, tmp_path):
    columns = messy.make_rows()
    columns["verdict"] = [answer.upper() for answer in columns["answer"]]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), keep=("verdict",))

    assert "verdict" in made.read("data")["examples"]["known"]


ODD = [
    "two words",
    "größe",
    "select",
    "a/b (%)",
    "weight",
    "label",
    "row",
    "a.b",
    "",
    "${x}",
    'say "hi"',
    "known_at",
    "x=1",
    "null",
    "1",
    "*",
    "__dunder",
    "_one",
    "^a$",
    "split",
]


def test_odd_names(make, tmp_path):
    columns = messy.make_rows()
    for index, name in enumerate(ODD):
        columns[name] = [str((i * (index + 3)) % 23) for i in range(messy.ROWS)]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert len(made.rows.columns) == 3 + len(ODD) + len({"row", "label"})
    assert {"two words", "größe", "select", "a/b (%)", "weight_", "label_", "row_", "a_b", "null", "1"} <= set(
        made.columns
    )


def test_a_target_with_an_odd_name_is_given_as_the_file_has_it(make, tmp_path):
    columns = messy.make_rows()
    columns["is it, 'so'?"] = columns.pop("answer")

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), target="is it, 'so'?")

    assert set(made.rows["label"].unique()) == {0.0, 1.0}


def test_a_name_twice(make, tmp_path):
    file = messy.write_csv(tmp_path / "rows.csv", messy.make_rows() | {"twin": ["1", "2"] * 100})
    file.write_text(file.read_text().replace("count", "size", 1).replace("twin", "size", 1))

    made = make(file)

    assert {"size", "size_duplicated_0", "size_duplicated_1"} <= set(made.columns)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_two_thousand_columns(make, tmp_path):
    generator = np.random.default_rng(0)
    columns = messy.make_rows()
    columns |= {f"x{i}": [f"{v:.3f}" for v in generator.normal(size=messy.ROWS)] for i in range(2_000)}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert len(made.read("data")["examples"]["known"]) == 2_003
    assert made.read("features")["blocks"]["numbers"]["steps"]["scale"]["_target_"].endswith("Quantile")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is told by Linux")
def test_memory_grows_by_the_columns_and_not_by_their_square(tmp_path):
    generator = np.random.default_rng(0)
    columns = {f"x{index}": generator.normal(size=60) for index in range(1_500)} | {"answer": ["a", "b"] * 30}
    pl.DataFrame(columns).write_csv(tmp_path / "rows.csv")
    code = (
        "from pathlib import Path\n"
        "from treadle.scaffold.reading.profile import profile_table\n"
        "from treadle.scaffold.reading.source import find_source\n"
        "profile_table(find_source(['rows.csv']), missing=[], uses={}, scratch=Path('.'))\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    )

    peak = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)

    assert int(peak.stdout) < 400_000  # kB, of which the libraries take 150,000; 3,000 columns at once took 6,000,000


# --- target and split ----------------------------------------------------------------------------------


def test_rows_without_an_answer_are_no_examples(make, tmp_path):
    columns = messy.make_rows()
    columns["answer"][:5] = ["", "?", "", "", ""]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.excluded["unanswered"] == 5


def test_a_number_with_fractions_is_a_regression(make, tmp_path):
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), target="size")

    assert made.read("data")["task"] == "regression"
    assert made.read("data")["split"]["by"] == "random"


def test_few_classes_are_multiclass_and_rare_ones_are_excluded(make, tmp_path):
    columns = messy.make_rows()
    columns["color"][:2] = ["pink", "it's"]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), target="color")

    assert made.read("data")["task"] == "multiclass"
    assert made.excluded["rare"] == 2


def test_a_whole_number_is_classes_unless_said_otherwise(make, tmp_path):
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), target="count", task="regression")

    assert made.read("data")["task"] == "regression"


def test_the_value_that_counts_as_true_can_be_given(make, tmp_path):
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), positive="no")

    assert made.plan.target.label == "\"answer\" = 'no'"


def test_no_group_stands_in_two_splits(make, tmp_path):
    columns = messy.make_rows() | {"shop": [f"s{i % 20}" for i in range(messy.ROWS)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), group="shop")

    assert made.read("data")["split"]["by"] == "group"
    assert "shop" not in made.rows.columns


def test_a_column_that_names_the_split_is_followed(make, tmp_path):
    columns = messy.make_rows() | {"data_split": ["test" if i % 5 == 0 else "train" for i in range(messy.ROWS)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert len(made.splits["test"]) == 40


def test_weights_and_rows_without_a_moment_reach_the_examples(make, tmp_path):
    days = [f"202{index % 4}-0{1 + index % 9}-17" for index in range(messy.ROWS)]
    days[5], days[9] = "", "?"
    columns = messy.make_rows() | {"seen": days, "weight": [str(1 + index % 3) for index in range(messy.ROWS)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), time="seen", weight="weight")

    assert made.excluded["undated"] == 2
    assert made.rows.sort("row")["weight"][:3].to_list() == [1, 2, 3]
    assert made.left_out["weight_"] == "it says how much a row counts"


def test_what_the_user_may_know_better_stands_in_the_readme(make, tmp_path):
    columns = messy.make_rows() | {"shop": [f"s{index % 20}" for index in range(messy.ROWS)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert "- **Worth knowing**: rows may belong together: 20 different" in (made.folder / "README.md").read_text()


# --- refusals ------------------------------------------------------------------------------------------


def test_an_empty_file(refuse, tmp_path):
    (tmp_path / "rows.csv").write_text("")

    assert "is empty: it has not even a header" in refuse(tmp_path / "rows.csv")


def test_a_header_without_rows(refuse, tmp_path):
    (tmp_path / "rows.csv").write_text("size,answer\n")

    assert "holds no row: only the header size, answer" in refuse(tmp_path / "rows.csv")


def test_a_file_without_a_header(refuse, tmp_path):
    (tmp_path / "rows.csv").write_text("1.5,2,0\n2.5,3,1\n" * 50)

    assert "the first line holds numbers only" in refuse(tmp_path / "rows.csv")


def test_one_class_only(refuse, tmp_path):
    columns = messy.make_rows() | {"answer": ["yes"] * messy.ROWS}

    assert "'answer' holds one value only, 'yes' in 200 rows" in refuse(messy.write_csv(tmp_path / "r.csv", columns))


def test_an_unknown_target(refuse, tmp_path):
    told = refuse(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), target="anwser")

    assert "--target: the table has no column 'anwser'. Did you mean 'answer'?" in told


def test_a_row_with_too_many_fields_is_named(refuse, tmp_path):
    file = messy.write_csv(tmp_path / "rows.csv", messy.make_rows())
    lines = file.read_text().splitlines()
    lines[50] += ",1,2"
    file.write_text("\n".join(lines))

    assert re.search(r"rows\.csv: row 50 has 6 fields, the header has 4", refuse(file))


def test_a_moment_that_is_none(refuse, tmp_path):
    told = refuse(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), time="color")

    assert "--time: 'color' is of type str, such as" in told


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"target": "answer", "drop": ("size", "color", "count")}, "no column is left to predict 'answer' from"),
        ({"target": "answer", "positive": "maybe"}, "'answer' holds 'yes' and 'no', not 'maybe'"),
        ({"target": "color", "task": "regression"}, "a regression predicts a number, and 'color' is of type str"),
        ({"target": "size", "task": "multiclass"}, "more than the 100 classes"),
        ({"target": "count", "task": "binary"}, "'count' has 5 different values; binary takes two"),
        ({"target": "answer", "group": "answer"}, "--group: 'answer' is the target"),
    ],
)
def test_what_cannot_be_done_is_refused(refuse, tmp_path, asked, told):
    assert told in refuse(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), **asked)


def test_files_that_differ_are_refused(refuse, tmp_path):
    messy.write_csv(tmp_path / "a.csv", messy.make_rows())
    messy.write_csv(tmp_path / "b.csv", messy.make_rows() | {"more": ["1"] * messy.ROWS})

    assert "its columns differ from those of" in refuse(tmp_path / "*.csv")


def test_nothing_is_left_of_a_refused_project(tmp_path):
    file = messy.write_csv(tmp_path / "rows.csv", messy.make_rows())

    with pytest.raises(TreadleError):
        init(tmp_path / "shop", origin=Origin([str(file)]), request=Request("nothing"))

    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_of_a_project_whose_making_was_ended(tmp_path, number):
    file = messy.write_csv(tmp_path / "rows.csv", messy.make_rows())
    begin = [sys.executable, "-m", "treadle", "init", "shop", "--from", str(file), "--target", "answer"]
    process = subprocess.Popen(begin, cwd=tmp_path)
    while not list(tmp_path.glob(".shop.treadle-init-*/conf")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    process.wait()

    if number == signal.SIGKILL:  # nobody can tidy up then but the next
        init(tmp_path / "shop", origin=Origin([str(file)]), request=Request("answer"))
        (tmp_path / "shop").rename(tmp_path / "moved")

    assert {path.name for path in tmp_path.iterdir()} <= {"rows.csv", "moved"}


def test_a_folder_that_exists_is_left_alone(tmp_path):
    file = messy.write_csv(tmp_path / "rows.csv", messy.make_rows())
    (tmp_path / "shop").mkdir()

    with pytest.raises(TreadleError, match="exists already; nothing was changed"):
        init(tmp_path / "shop", origin=Origin([str(file)]), request=Request("answer"))


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("My shop", "my_shop"),
        ("2024-sales", "project_2024_sales"),
        ("json", "json_project"),
        ("torch", "torch_project"),
    ],
)
def test_a_name_for_python(name, package):
    assert name_package(name) == package


# --- found by messy tables -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ([f"c{index % 40}" for index in range(200)], "has 40 classes, of which 0 have the 10 rows"),
        (["big"] * 150 + [f"c{index % 10}" for index in range(50)], "has 11 classes, of which 1 have the 10 rows"),
        (["a"] * 197 + ["b"] * 3, "is 'b' in 3 rows"),
        ([f"{index * 1e38}" for index in range(200)], "reaches 1.99e+40; a number that is predicted is at most 3e+38"),
        (["2024-01-01", "2024-01-02"] * 100, "is a date"),
    ],
    ids=["all classes rare", "one class left", "three of one class", "too large", "dates"],
)
def test_a_target_that_cannot_be_learned_is_refused(refuse, tmp_path, target, told):
    rows = messy.make_rows() | {"wanted": target}

    assert told in refuse(messy.write_csv(tmp_path / "rows.csv", rows), target="wanted", task=None)


def test_classes_written_with_a_point_are_classes(make, tmp_path):
    rows = messy.make_rows() | {"wanted": [f"{index % 3}.0" for index in range(200)]}

    assert make(messy.write_csv(tmp_path / "rows.csv", rows), target="wanted").plan.target.task == "multiclass"


@pytest.mark.parametrize(
    "asked", [{"keep": ("answer",)}, {"drop": ("answer",)}, {"keep": ("size",), "drop": ("size",)}]
)
def test_a_column_is_not_asked_to_be_two_things(refuse, tmp_path, asked):
    told = refuse(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), **asked)

    assert "is the target" in told or "name it once" in told


def test_columns_that_hold_no_values_are_left_out(make, tmp_path):
    rows = pl.DataFrame(messy.make_rows()).with_columns(
        pl.Series("tags", [["a", "b"]] * 200), pl.Series("bytes", [b"a"] * 200), pl.duration(days=1).alias("span")
    )
    rows.write_parquet(tmp_path / "rows.parquet")

    made = make(tmp_path / "rows.parquet")

    assert made.left_out["tags"] == "of type List(String) in the file: neither a number, a text nor a moment"
    assert {"bytes", "span"} <= made.left_out.keys()
    assert len(made.rows) == 200


def test_a_list_can_be_neither_target_nor_feature(refuse, tmp_path):
    rows = pl.DataFrame(messy.make_rows()).with_columns(pl.Series("tags", [["a"]] * 200))
    rows.write_parquet(tmp_path / "rows.parquet")

    assert "--keep: 'tags' can be no feature: of type List(String)" in refuse(tmp_path / "rows.parquet", keep=("tags",))


def test_numbers_too_large_for_64_bits_are_read_as_texts(make, tmp_path):
    rows = pl.DataFrame(messy.make_rows()).with_columns(pl.Series("code", [2**63, 5] * 100, dtype=pl.UInt64))
    rows.write_parquet(tmp_path / "rows.parquet")

    made = make(tmp_path / "rows.parquet")

    assert made.columns["code"]["dtype"] == "str"
    assert made.rows["code"].n_unique() == 2


def test_digits_of_other_scripts_are_texts(make, tmp_path):
    rows = messy.make_rows() | {"digit": ["\u0661", "\u0662"] * 100}

    made = make(messy.write_csv(tmp_path / "rows.csv", rows))

    assert made.rows["digit"].to_list()[:2] == ["\u0661", "\u0662"]


def test_a_number_beyond_all_bounds_is_no_number(make, tmp_path):
    rows = messy.make_rows() | {"large": ["1e400", "3"] * 100}

    assert make(messy.write_csv(tmp_path / "rows.csv", rows)).columns["large"]["dtype"] == "str"


def test_values_that_are_one_number_in_32_bits_are_a_feature(make, tmp_path):
    rows = messy.make_rows() | {"count": [str(2**43 + index % 60) for index in range(200)]}

    assert "count" not in make(messy.write_csv(tmp_path / "rows.csv", rows)).left_out


def test_files_may_have_their_columns_in_another_order(make, tmp_path):
    rows = messy.make_rows()
    messy.write_csv(tmp_path / "a.csv", rows)
    messy.write_csv(tmp_path / "b.csv", dict(reversed(rows.items())))

    assert len(make(tmp_path / "a.csv", tmp_path / "b.csv").rows) == 400


def test_suffixes_in_capitals_lose_no_file(make, tmp_path):
    for name in ("a.CSV", "b.csv"):
        messy.write_csv(tmp_path / name, messy.make_rows())

    assert len(make(tmp_path / "a.CSV", tmp_path / "b.csv").rows) == 400


@pytest.mark.parametrize("name", ["a [1].csv", "a*b.csv", "${x} 'q' #1.csv"])
def test_marks_in_the_name_of_a_file(make, tmp_path, name):
    assert len(make(messy.write_csv(tmp_path / name, messy.make_rows())).rows) == 200


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x1f\x8b\x08\x00\x90\x81" * 50, "is no text in an encoding that is known here. Unpack it"),
        ("a,answer\nüé,yes\n".encode("utf-7").replace(b"+", b"\xff\x81") * 50, "no other encoding is likely"),
        (b"\n\na,answer\n1,yes\n", "the first line is blank"),
        (b"a,answer\r1,yes\r2,no\r", "its lines end in a carriage return alone"),
        (b"a b answer\n1 2 yes\n", "fields are separated by a comma"),
        (b"a,answer\n" + b"1,yes\n" * 40 + b"2\n", "row 41 has 1 fields, the header has 2"),
    ],
    ids=["packed", "no words", "blank first line", "carriage returns", "spaces", "short row"],
)
def test_a_file_that_is_no_table_is_refused(refuse, tmp_path, content, told):
    (tmp_path / "rows.csv").write_bytes(content)

    assert told in refuse(tmp_path / "rows.csv")


@pytest.mark.parametrize("bare", [["3"], ["3", "1.5"]], ids=["whole", "fraction"])
def test_numbers_without_the_unit_of_the_others_lose_nothing(make, tmp_path, bare):
    cells = [f"{index % 9 + 1} rooms" for index in range(190)] + bare * (10 // len(bare))
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows() | {"width": cells}))

    assert made.columns["width"]["suffix"] == ["rooms"]
    assert "missing" not in made.columns["width"]
    assert made.rows["width"].null_count() == 0


@pytest.mark.parametrize("unit", ["m2", "km2", "ft2", "m3"])
def test_units_that_hold_a_digit(make, tmp_path, unit):
    cells = [f"{index % 9 + 1} {unit}" for index in range(200)]

    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows() | {"width": cells}))

    assert made.columns["width"]["suffix"] == [unit]


@pytest.mark.parametrize("name", ["a${b}", "-dash", "[b]x", "x" * 101])
def test_a_name_that_no_folder_should_have(tmp_path, name):
    file = messy.write_csv(tmp_path / "rows.csv", messy.make_rows())

    with pytest.raises(TreadleError, match="name"):
        init(tmp_path / name, origin=Origin([str(file)]), request=Request("answer"))


def test_without_git_it_is_told_and_nothing_is_left(tmp_path, monkeypatch):
    file = messy.write_csv(tmp_path / "rows.csv", messy.make_rows())
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))

    with pytest.raises(TreadleError, match="`git` is not installed"):
        init(tmp_path / "shop", origin=Origin([str(file)]), request=Request("answer"))

    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("text", ["1e3", "a\nb", "a\r\nb\n", "\\${b}", "${a}", "\\\\${c}", "1_0e5", "~", "yes", "012"])
def test_a_text_comes_back_from_yaml_as_it_was(text):
    assert OmegaConf.to_container(OmegaConf.create(to_yaml([text])), resolve=True) == [text]


def test_a_time_that_was_not_asked_for_is_told(make, tmp_path):
    rows = messy.make_rows() | {"day": [f"2024-01-{1 + index % 28:02d}" for index in range(200)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", rows))

    assert made.plan.split_reason.endswith("if the future is to be predicted, begin anew with --time day")
    assert "cycle_7:  # repeats every 7 days" in (made.folder / "conf/features/shop.yaml").read_text()


def test_texts_of_several_words_are_no_identifiers(make, tmp_path):
    rows = messy.make_rows() | {"title": [f"sold {index} of them" for index in range(200)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", rows))

    assert made.left_out["title"] == "names or free text: 200 different values in 200 rows"


def test_a_folder_that_is_called_like_a_table_is_told(tmp_path):
    (tmp_path / "rows.csv").mkdir()

    with pytest.raises(TreadleError, match=r"rows\.csv: Is a directory; nothing was made"):
        init(tmp_path / "shop", origin=Origin([str(tmp_path / "*.csv")]), request=Request("answer"))


@pytest.mark.parametrize("mark", ["\n", "\x01", "|"])
def test_marks_that_end_a_line_or_a_cell(make, tmp_path, mark):
    name, answer = f"left{mark}out", f"no{mark}ne"
    rows = messy.make_rows() | {name: ["same"] * 200, "wanted": [answer, "some", "some"] * 66 + ["some"] * 2}

    made = make(messy.write_csv(tmp_path / "rows.csv", rows), target="wanted", positive=answer)

    assert made.rows["label"].sum() == 66
    assert len([line for line in (made.folder / "README.md").read_text().splitlines() if "constant" in line]) == 1


def test_a_truth_value_is_given_as_the_file_has_it(make, tmp_path):
    rows = messy.make_rows() | {"left": ["true", "true", "false", "false"] * 50}

    made = make(messy.write_csv(tmp_path / "rows.csv", rows), target="left", positive="false")

    assert made.read("data")["examples"]["label"] == '"left" = false'


def test_the_reason_for_the_epochs_is_true_of_a_small_table(make, tmp_path):
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()))

    text = (made.folder / "conf/experiment/shop.yaml").read_text()
    assert "max_epochs: 60  # the most for few rows; the best epoch is kept" in text
    assert "early_stopping: {patience: 24, min_delta: 0.0}" in text
