"""A server takes images as texts in base64, and gives the numbers that `predict` gives for the files."""

import random
from base64 import b64encode

import polars as pl
import pytest
import torch

pytest.importorskip("PIL")

from pictures import make_png
from served import make_bundle, read_known
from treadle.bundle import CHUNK, compute_raw, predict_split
from treadle.errors import TreadleError
from treadle.experiment.spec import Column
from treadle.images import FEW_ROWS
from treadle.serving.openapi import make_example
from treadle.serving.row import make_cell
from treadle.serving.scorer import Scorer


@pytest.fixture(scope="module")
def bundle():
    made = make_bundle("digits", num_rows=300, model="image_resnet", classes="0123456789")
    torch.nn.init.normal_(made.model.member.weight)  # which begins as 0: every image would look alike
    return made


@pytest.fixture(scope="module")
def rows():
    return read_known("digits").tail(40)


def to_json(rows):
    return [{"image": b64encode(content).decode()} for content in rows["image"]]


def test_rows_get_the_predictions_of_a_file(bundle, rows):
    scorer = Scorer(bundle)

    answers = scorer.ask(to_json(rows))

    wanted = bundle.predict(rows).to_dicts()
    assert scorer.reason == ""
    assert [answer.prediction for answer in answers] == [pytest.approx(row, rel=1e-5) for row in wanted]
    assert bundle.predict(to_json(rows)).equals(bundle.predict(rows))
    assert isinstance(make_example(bundle)["image"], str)


@pytest.mark.slow
def test_rows_are_taken_few_at_a_time_and_get_the_numbers_of_all_together(bundle):
    rows = read_known("digits")
    most = 16 * CHUNK

    step = bundle.count_part_rows(most)

    assert FEW_ROWS <= step < len(rows)
    assert step % bundle.chunk_rows == 0
    assert torch.equal(compute_raw(bundle, rows.lazy()), bundle.compute(rows))
    assert predict_split(bundle, rows.lazy()).equals(bundle.predict(rows))
    assert make_bundle("california").count_part_rows(most) == most


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("data/digits/a.png", "must be an image"),
        (b64encode(make_png(height=8, width=8)[:-50]).decode(), "must be an image"),
        (b64encode(make_png(height=4, width=8)).decode(), "must be an image of height 8"),
        (5, "must be an image"),
        (None, "must not be missing"),
    ],
    ids=["path", "cut", "size", "number", "missing"],
)
def test_what_is_no_image_has_the_problem_that_a_batch_has(bundle, rows, value, rule):
    good, bad = Scorer(bundle).ask([to_json(rows)[0], {"image": value}])

    assert good.prediction is not None
    assert bad.prediction is None
    assert [(problem.column, rule in problem.rule) for problem in bad.problems] == [("image", True)]
    with pytest.raises(TreadleError, match=rule):
        bundle.predict({"image": value})


def test_a_batch_sets_a_broken_image_apart(bundle, rows):
    frame = pl.DataFrame({"image": [rows["image"][0], b"nothing"]})

    conformed, breaches = bundle.examine(frame, keep_unreadable=True)

    assert conformed["image"].null_count() == 1
    assert breaches.select("position", "column", "value").row(0) == (1, "image", "nothing")


def test_made_rows_share_one_image_as_photos_would_fill_the_memory():
    column = Column.model_validate({"dtype": "image", "height": 8, "width": 8, "channels": 3})
    make = make_cell(random.Random(0), column, [])  # noqa: S311 - no secret

    made = {id(content) for content in [make() for _ in range(256)] if content is not None}

    assert len(made) == 1
