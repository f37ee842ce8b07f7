"""The text of trees may come from anybody: what LightGBM would not have written never reaches its reader."""

import random
import re
from contextlib import suppress

import pytest
import torch

from estimators import build_estimator, draw_rows, fit
from treadle.errors import TreadleError
from treadle.models.lightgbm_text import check_trees


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Splits by number and by category."""
    model = build_estimator(
        "lightgbm", max_rounds=3, min_data_per_group=1, cat_smooth=1.0, num_leaves=6, monotone={"b": 1}
    )
    fit(model, draw_rows())
    file = tmp_path_factory.mktemp("trees") / "trees.txt"
    model.save(file)
    return file.read_text()


def check(text):
    check_trees(text, num_numeric=3, num_ids=2, num_outputs=1)


def test_what_lightgbm_writes_is_accepted(trees):
    assert "cat_threshold=" in trees

    check(trees)


@pytest.mark.parametrize(("task", "num_classes"), [("binary", 0), ("regression", 0), ("multiclass", 3)])
def test_trees_of_a_single_leaf_travel(task, num_classes, tmp_path):
    rows = draw_rows(task=task, num_classes=num_classes)
    model, other = (build_estimator("lightgbm", num_classes=num_classes, min_data_in_leaf=1000) for _ in range(2))
    fit(model, rows, task=task)
    model.save(tmp_path / "trees.txt")

    other.load(tmp_path / "trees.txt")

    assert torch.equal(other(rows.numeric, rows.ids), model(rows.numeric, rows.ids))


def test_a_split_of_missing_numbers_from_all_others_travels(tmp_path):
    """Its threshold is infinite."""
    rows = draw_rows()
    rows = rows._replace(target=rows.numeric[:, 0].isnan().float())
    model, other = (build_estimator("lightgbm", max_rounds=3) for _ in range(2))
    fit(model, rows)
    model.save(tmp_path / "trees.txt")
    assert re.search(r"threshold=.*\binf", (tmp_path / "trees.txt").read_text())

    other.load(tmp_path / "trees.txt")

    output = other(rows.numeric, rows.ids)
    assert torch.equal(output, model(rows.numeric, rows.ids))
    assert torch.equal((output[:, 0] > output.mean()).float(), rows.target)


@pytest.mark.parametrize(
    ("pattern", "replacement", "said"),
    [
        (r"num_class=1", "num_class=2", "1 outputs"),
        (r"max_feature_idx=4", "max_feature_idx=5", "5 inputs"),
        (r"num_leaves=6", "num_leaves=7", "must hold"),
        (r"left_child=\d+", "left_child=4000", "child of one other"),
        (r"right_child=-?\d+", "right_child=0", "child of one other"),
        (r"split_feature=\d", "split_feature=9", "no input 9"),
        (r"decision_type=\d+", "decision_type=64", "no decision 64"),
        (r"leaf_value=\S+", "leaf_value=nan", "must hold numbers"),
        (r"leaf_value=\S+", "leaf_value=1e+999", "no finite number"),
        (r"is_linear=0", "is_linear=1", "linear leaves"),
        (r"cat_boundaries=0", "cat_boundaries=3", "bounds of sets"),
        (r"cat_threshold=\d+", "cat_threshold=4294967296", "32 bits"),
        (r"num_cat=\d", "num_cat=9", "must hold"),
        (r"tree_sizes=\d+", "tree_sizes=9", "tree"),
        (r"Tree=1", "Tree=7", "expected tree 1"),
    ],
)
def test_what_it_does_not_write_is_refused(trees, pattern, replacement, said):
    def resize(text):
        """As somebody would who knows that the sizes are checked."""
        if pattern.startswith("tree_sizes"):
            return text
        blocks = re.split(r"(?=^Tree=)", text[: text.index("end of trees")], flags=re.MULTILINE)[1:]
        return re.sub(r"tree_sizes=.*", f"tree_sizes={' '.join(str(len(block)) for block in blocks)}", text)

    changed = re.sub(pattern, replacement, trees, count=1)
    assert changed != trees

    with pytest.raises(ValueError, match=said):
        check(resize(changed))


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("seed", range(3))
def test_damage_anywhere_is_refused_or_harmless(trees, seed, tmp_path):
    """Bytes are replaced, cut and doubled: LightGBM's own reader would end the process."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    rows = draw_rows(20)
    for _ in range(100):
        place, length = draw.randrange(len(trees)), draw.choice([1, 1, 2, 30])
        middle = draw.choice([draw.choice("0123456789- .e=\n"), "", trees[place : place + length] * 2])
        (tmp_path / "trees.txt").write_text(trees[:place] + middle + trees[place + length :])
        model = build_estimator("lightgbm")
        with suppress(TreadleError):
            model.load(tmp_path / "trees.txt")
            assert model(rows.numeric, rows.ids).shape == (20, 1)
