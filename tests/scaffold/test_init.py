"""A project from any table: it works, or the table is refused with the reason; nothing is left behind."""

import re
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
from omegaconf import OmegaConf

import messy
from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.errors import TreadleError
from treadle.scaffold.init import Origin, init, name_package
from treadle.scaffold.planning.plan import Request
from treadle.scaffold.writing.yaml_text import to_yaml

pytestmark = pytest.mark.fast_cases(5)


# --- target and split ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_rows_without_an_answer_are_no_examples(make, tmp_path):
    columns = messy.make_rows()
    columns["answer"][:5] = ["", "?", "", "", ""]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns))

    assert made.excluded["unanswered"] == 5


@pytest.mark.slow
def test_a_number_with_fractions_is_a_regression(make, tmp_path):
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), target="size")

    assert made.read("data")["task"] == "regression"
    assert made.read("data")["split"]["by"] == "kfold"


def test_few_classes_are_multiclass_and_rare_ones_are_excluded(make, tmp_path):
    columns = messy.make_rows()
    columns["color"][:2] = ["pink", "it's"]

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), target="color")

    assert made.read("data")["task"] == "multiclass"
    assert made.excluded["rare"] == 2


def test_a_whole_number_is_classes_unless_asked_otherwise(make, tmp_path):
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), target="count", task="regression")

    assert made.read("data")["task"] == "regression"


def test_a_count_is_asked_for_and_judged_as_one(make, tmp_path):
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), target="count", task="count")

    experiment = check(compose(overrides=[], root=made.folder))
    assert experiment.data.task == "count"
    assert experiment.evaluation.metric == "poisson_deviance"
    assert made.splits["train"]["label"].min() >= 0


def test_the_value_that_counts_as_true_can_be_given(make, tmp_path):
    made = make(messy.write_csv(tmp_path / "rows.csv", messy.make_rows()), positive="no")

    assert made.plan.target.label == "\"answer\" = 'no'"


def test_no_group_stands_in_two_splits(make, tmp_path):
    columns = messy.make_rows() | {"shop": [f"s{i % 20}" for i in range(messy.ROWS)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", columns), group="shop")

    assert made.read("data")["split"]["by"] == "group_kfold"
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
    assert made.left_out["weight_"] == "the weight of each row"


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
        ({"target": "size", "task": "count"}, "a count is a whole number from 0 on; 'size' is written with fractions"),
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


@pytest.mark.exhaustive
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

    assert "--keep: 'tags' cannot be a feature: of type List" in refuse(tmp_path / "rows.parquet", keep=("tags",))


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
        (b"\x1f\x8b\x08\x00\x90\x81" * 50, "is not a text file in a known encoding. Unpack it"),
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


def test_without_git_it_is_reported_and_nothing_is_left(tmp_path, monkeypatch):
    file = messy.write_csv(tmp_path / "rows.csv", messy.make_rows())
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))

    with pytest.raises(TreadleError, match="`git` is not installed"):
        init(tmp_path / "shop", origin=Origin([str(file)]), request=Request("answer"))

    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("text", ["1e3", "a\nb", "a\r\nb\n", "\\${b}", "${a}", "\\\\${c}", "1_0e5", "~", "yes", "012"])
def test_a_text_comes_back_from_yaml_as_it_was(text):
    assert OmegaConf.to_container(OmegaConf.create(to_yaml([text])), resolve=True) == [text]


def test_a_time_that_was_not_asked_for_is_reported(make, tmp_path):
    rows = messy.make_rows() | {"day": [f"2024-01-{1 + index % 28:02d}" for index in range(200)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", rows))

    assert "if the future is to be predicted, start over with --time day" in made.plan.split_reason
    assert "cycle_7:  # repeats every 7 days" in (made.folder / "conf/features/shop.yaml").read_text()


def test_texts_of_several_words_are_no_identifiers(make, tmp_path):
    rows = messy.make_rows() | {"title": [f"sold {index} of them" for index in range(200)]}

    made = make(messy.write_csv(tmp_path / "rows.csv", rows))

    assert made.left_out["title"] == "names or free text: 200 different values in 200 rows"


def test_a_folder_that_is_called_like_a_table_is_reported(tmp_path):
    (tmp_path / "rows.csv").mkdir()

    with pytest.raises(TreadleError, match=r"rows\.csv is a folder; name its files"):
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
