"""Which model is trained when, on what."""

from datetime import datetime

import polars as pl
import pytest

from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Never, OnSchedule, Replay, ReplayCost, TimeSplit
from treadle.replay.matrix import Origin, make_plan

SPLIT = TimeSplit(by="time", valid_from="2020-03-01", test_from="2020-04-01", gap="1d")


def make_settings(**changed):
    policies = {"never": Never(by="never"), "last": OnSchedule(by="schedule", every=1, window=2)}
    cost = ReplayCost(training_hour=0.0, label=0.0, missed=None, false_alarm=None)
    plain = {"step": "1mo", "first": None, "last": None, "min_history": 2, "valid": "7d", "policies": policies}
    return Replay(**{**plain, "cost": cost, **changed})


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Hourly rows from New Year to 3 July, split anyhow."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    folder.examples.mkdir()
    moments = pl.datetime_range(datetime(2020, 1, 1, 5), datetime(2020, 7, 3), "1h", eager=True)  # noqa: DTZ001 - UTC
    frame = moments.alias("predict_at").to_frame()
    for place, split in enumerate(("train", "valid", "test")):
        frame.gather_every(3, place).write_parquet(folder.examples / f"{split}.parquet")
    return folder


def test_blocks_begin_after_the_history_and_leave_out_a_rest(examples):
    plan = make_plan(make_settings(), SPLIT, examples=examples)

    assert [f"{start:%m-%d}" for start in plan.starts] == ["03-01", "04-01", "05-01", "06-01", "07-01"]
    assert plan.left_out == "49 rows from 2020-07-01 on, too few for a block"
    assert plan.origins[0] == Origin(0, None)
    assert len(plan.origins) == 4 * 2  # all the past, and two months


def test_a_warm_model_follows_that_of_the_block_before_and_the_first_is_cold(examples):
    warm = OnSchedule(by="schedule", every=1, window=1, warm="keep")
    policies = {"warm": warm, "continued": warm.model_copy(update={"optimizer": "continue"})}
    plan = make_plan(make_settings(policies=policies), SPLIT, examples=examples)

    assert plan.cold == [Origin(block, None) for block in range(4)]
    weights, continued = ([Origin(block, 1, "keep", how) for block in (1, 2, 3)] for how in ("anew", "continue"))
    assert plan.warm == [*weights, *continued]
    for chain in (weights, continued):
        assert [origin.before for origin in chain] == [Origin(0, None), *chain[:2]]
    told = [plan.describe_rows(chain[0]).partition(", ")[2] for chain in (weights, continued)]
    assert told[0] == "from the weights of the block before, transforms kept"
    assert told[1] == f"{told[0]}, optimizer continued"


def test_a_split_is_moved_and_found_again(examples):
    from treadle.config.overrides import parse

    plan = make_plan(make_settings(), SPLIT, examples=examples)
    for origin in plan.origins:
        moved = parse(f"split={plan.write_split(origin, make_settings())}").value()

        assert plan.find_origin(moved) == origin
    assert moved == {
        "by": "time",
        "valid_from": "2020-05-25T00:00:00",
        "test_from": "2020-06-01T00:00:00",
        "gap": "1d",
        "train_from": "2020-04-01T00:00:00",
    }


def test_given_ends_are_kept(examples):
    settings = make_settings(first="2020-02-10", last="2020-05-20", step="2w")
    plan = make_plan(settings, SPLIT, examples=examples)

    assert (plan.starts[0], plan.starts[-1]) == (datetime(2020, 2, 10), datetime(2020, 5, 18))  # noqa: DTZ001 - UTC
    assert plan.left_out is None


def test_what_leaves_no_matrix_is_refused(examples):
    with pytest.raises(TreadleError, match="fewer than two blocks of 1mo after the first model"):
        make_plan(make_settings(min_history=5), SPLIT, examples=examples)


def test_months_are_counted_from_a_day_that_each_has(examples):
    with pytest.raises(TreadleError, match=r"replay\.first: months are counted .* found 2020-01-31"):
        make_plan(make_settings(first="2020-01-31"), SPLIT, examples=examples)
