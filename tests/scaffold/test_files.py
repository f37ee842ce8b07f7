"""Tables however they are written, and whatever their columns hold, become projects without a loss."""

import itertools
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import messy
from treadle.bundle import read_rows
from treadle.experiment.spec import Table

pytestmark = pytest.mark.fast_cases(3)


# --- how a file is written -----------------------------------------------------------------------------


SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "latin-1", "windows-1252"]
TOGETHER = list(zip(itertools.cycle(SEPARATORS), ENCODINGS, strict=False))
APART = [pair for pair in itertools.product(SEPARATORS, ENCODINGS) if pair not in TOGETHER]


@pytest.mark.slow
@pytest.mark.sampled_cases(2)
@pytest.mark.fast_cases(1)
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


@pytest.mark.slow
def test_a_file_of_excel_in_the_east_is_read_and_reported(make, tmp_path):
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_text_among_numbers_is_missing_and_is_reported(make, tmp_path):
    columns = messy.make_rows()
    columns["size"][7] = "not measured"

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.columns["size"]["missing"] == ["not measured"]
    assert "missing where not a number: row 8: 'not measured'" in (made.folder / "conf/data/shop.yaml").read_text()


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.sampled_cases(2)
@pytest.mark.fast_cases(1)
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


@pytest.mark.sampled_cases(2)
@pytest.mark.parametrize("form", ["%Y", "%Y%m%d", "%s", "%Y Q1"], ids=["years", "yyyymmdd", "epoch", "quarters"])
def test_time_takes_digits_and_quarters(make, tmp_path, form):
    start = datetime(2001, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(days=30 * i) for i in range(messy.ROWS)]
    columns = messy.make_rows() | {"when": [f"{moment:{form}}" for moment in moments]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), time="when")

    assert made.read("data")["split"]["by"] == "time_series"
    assert made.splits["train"]["predict_at"].max() < made.splits["test"]["predict_at"].min()
    derived = (made.read("features").get("derive") or {}).keys()
    assert derived == {"%Y": set(), "%Y Q1": {"when_month"}}.get(form, {"when_weekday", "when_day_of_year"} | derived)


def test_infinity_is_missing_in_every_kind_of_file(make, tmp_path):
    columns = messy.make_rows()
    columns["size"][:2] = ["inf", "-inf"]
    frame = pl.DataFrame(columns).with_columns(pl.col("size").cast(float))
    frame.write_parquet(tmp_path / "rows.parquet")

    made = make(tmp_path / "rows.parquet")

    assert made.rows["size"].head(3).null_count() == 2
    assert "infinite in 2 rows, read as missing" in (made.folder / "conf/data/shop.yaml").read_text()


def test_a_number_that_means_missing_does_so_however_it_is_written(make, tmp_path):
    columns = messy.make_rows()
    columns["size"][:2] = ["-999.0", "-999"]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), missing=("-999",))

    assert made.rows["size"].head(3).null_count() == 2
    assert made.columns["size"]["min"] == 0


@pytest.mark.slow
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


@pytest.mark.slow
def test_codes_with_a_leading_zero_stay_texts(make, tmp_path):
    columns = messy.make_rows() | {"area": [f"0{i % 30:02d}" for i in range(messy.ROWS)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.columns["area"]["dtype"] == "str"


@pytest.mark.slow
@pytest.mark.sampled_cases(3)
@pytest.mark.fast_cases(1)
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
    assert made.read("data")["split"]["by"] == "time_series"
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
        "remark": "free text, 43 characters on average: declared as `text`, it can be read",
        "again": "the same values as 'size'",
    }
    assert all(f"#   {name}: " in (made.folder / "conf/data/shop.yaml").read_text() for name in made.left_out)


def test_a_column_that_reveals_the_target_is_left_out_unless_asked_for(make, tmp_path):
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


@pytest.mark.exhaustive
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
