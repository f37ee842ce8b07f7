"""A split that leaves nothing to learn from, or nothing to evaluate by, is refused before a project is built on it."""

import pytest

import messy
from treadle.errors import TreadleError
from treadle.scaffold.planning.plan import Request, make_plan
from treadle.scaffold.reading.profile import profile_table
from treadle.scaffold.reading.source import find_source


@pytest.fixture
def plan(tmp_path):
    def plan(more, target="answer", **asked):
        file = messy.write_csv(tmp_path / "rows.csv", messy.make_rows() | more)
        return make_plan(
            profile_table(find_source([str(file)]), missing=(), uses={}, scratch=tmp_path), Request(target, **asked)
        )

    return plan


def test_of_three_equal_groups_each_split_gets_one(plan):
    split = plan({"shop": list("abcd" * 50)}, group="shop").split

    assert split["by"] == "group"


def test_one_huge_group_leaves_no_rows_for_a_split(plan):
    shops = ["huge"] * 180 + [f"small {index % 4}" for index in range(20)]

    with pytest.raises(TreadleError, match="--group: 'shop', whose groups are too few or too large: no rows for valid"):
        plan({"shop": shops}, group="shop")


def test_a_test_with_one_answer_only_is_refused(plan):
    days = [f"2024-{1 + index // 20:02d}-{1 + index % 20:02d}" for index in range(200)]
    churned = ["yes" if index % 3 and index < 150 else "no" for index in range(200)]

    with pytest.raises(TreadleError, match=r"`test` have the answer False\. Bring rows of each answer"):
        plan({"day": days, "churned": churned}, target="churned", time="day")


def test_a_column_of_splits_with_a_test_of_one_row_is_not_followed(plan):
    assert plan({"fold": ["train"] * 199 + ["test"]}).split["by"] == "stratified_kfold"


def test_a_column_of_splits_that_is_the_target_is_not_followed(plan):
    assert plan({"split": ["train", "test"] * 100}, target="split").split["by"] == "stratified_kfold"
