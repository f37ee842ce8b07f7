"""Declared behaviour: what a model must do when its rows change, tried through a real bundle's interface."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import TypeAdapter

from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.evaluation.behaviour import change_rows, find_behaviour, find_typical
from treadle.evaluation.checks.behaviour import hold_behaviour
from treadle.evaluation.resampling import Blocks
from treadle.experiment.spec.behaviour import Behaviour
from treadle.pages.render import render_page
from treadle.problems import ConfigError

COLUMNS = {"rain": "Float64", "hour": "Int64", "plane": "String"}
READ = TypeAdapter(Behaviour)


class Model:
    """Rain makes late, except at night, where it makes early; planes that begin with N7 are never late."""

    task, classes, output_names = "binary", (), ("probability",)
    card = SimpleNamespace(columns=COLUMNS)

    def take_point(self, outputs):
        return outputs

    def conform(self, rows):
        return rows if isinstance(rows, pl.DataFrame) else pl.DataFrame([rows], schema=dict(ROWS.schema))

    def predict(self, rows, *, on_breach):  # noqa: ARG002 - as of a bundle
        slope = pl.when(pl.col("hour") >= 6).then(1.0).otherwise(-0.5)
        chance = 1 / (1 + (-(pl.col("rain").fill_null(0) * slope - 1)).exp())
        own = pl.when(pl.col("plane").str.starts_with("N7").fill_null(value=False)).then(0.0).otherwise(chance)
        return rows.select(probability=own.cast(pl.Float32))


class Kinds(Model):
    """The same of three classes."""

    task, classes = "multiclass", ["early", "on time", "late"]
    output_names = ("probability_early", "probability_on time", "probability_late")

    def predict(self, rows, *, on_breach):
        late = Model.predict(self, rows, on_breach=on_breach)["probability"]
        return pl.DataFrame(
            {"probability_early": (1 - late) / 2, "probability_on time": (1 - late) / 2, "probability_late": late}
        )


def make_rows():
    generator = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "rain": generator.exponential(size=1000),
            "hour": np.arange(1000) % 24,
            "plane": [f"N{7 if i % 50 == 0 else i % 5}{i}" for i in range(1000)],
            "row": np.arange(1000) + 5000,
        }
    )


ROWS = make_rows()


@pytest.fixture(scope="module")
def experiment(root):
    return resolve(overrides=["experiment=adult", "model=linear"], root=root).experiment


def evaluate(experiment, *, model=None, **declared):
    model = model or Model()
    behaviour = {name: READ.validate_python(one) for name, one in declared.items()}
    settings = experiment.evaluation.model_copy(update={"behaviour": behaviour})
    chances = Model().predict(ROWS, on_breach="allow")["probability"].to_numpy()
    hits = np.random.default_rng(1).random(1000) < chances
    evaluated = SimpleNamespace(
        experiment=experiment.model_copy(update={"evaluation": settings}),
        bundle=model,
        task=model.task,
        test=ROWS.lazy(),
        target=torch.from_numpy(hits.astype(np.float64) if model.task == "binary" else 2 * hits.astype(np.int64)),
        blocks=Blocks.of_rows(1000),
        answers={},
    )
    found = find_behaviour(evaluated)
    evaluated.answers = {"behaviour": found} if found else {}
    return found, hold_behaviour(evaluated)


@pytest.mark.slow
def test_a_direction_counts_the_rows_that_obey_and_lists_those_that_do_not(experiment):
    declared = {"by": "direction", "change": {"rain": "rain + 1"}, "expect": "not_lower", "min_share": 0.9}

    found, outcome = evaluate(experiment, rain=declared, lenient={**declared, "min_share": 0.7})

    rain = found.found["rain"]
    nights = ROWS.filter((pl.col("hour") < 6) & ~pl.col("plane").str.starts_with("N7"))
    assert rain.numbers["share"].value == pytest.approx(1 - len(nights) / 1000)
    assert rain.numbers["moved"].low > 0
    assert (rain.holds, found.found["lenient"].holds) == (False, True)
    assert len(rain.violations) == 10
    assert {int(one.row) for one in rain.violations} <= set(nights["row"])
    assert all(one.after < one.before for one in rain.violations)
    assert outcome.state == "fail"
    assert outcome.sentence.startswith("1 of 2 behaviours hold. rain: ")
    assert json.loads(json.dumps(dict(outcome.evidence), allow_nan=False)) == outcome.evidence


def test_a_direction_must_hold_on_average_whatever_the_share_is(experiment):
    found, _ = evaluate(
        experiment, rain={"by": "direction", "change": {"rain": "rain + 1"}, "expect": "not_higher", "min_share": 0.0}
    )

    assert not found.found["rain"].holds


def test_of_several_classes_a_direction_names_one(experiment):
    declared = {"by": "direction", "change": {"rain": "rain + 1"}, "expect": "not_higher", "min_share": 0.7}

    found, _ = evaluate(experiment, model=Kinds(), rain={**declared, "outcome": "early"})

    assert found.found["rain"].holds
    with pytest.raises(
        TreadleError, match=r"rain.outcome: must be a class .* found None; classes: early, on time, late"
    ):
        evaluate(experiment, model=Kinds(), rain=declared)


@pytest.mark.parametrize("model", [Model(), Kinds()], ids=["two classes", "several"])
def test_an_identity_that_moves_the_prediction_is_found(experiment, model):
    by_name = {"by": "invariance", "tolerance": 0.02}

    found, _ = evaluate(
        experiment,
        model=model,
        renamed={**by_name, "change": {"plane": "'N1'"}},
        shuffled={**by_name, "shuffle": ["plane"]},
        mostly={**by_name, "change": {"plane": "CONCAT(plane, 'X')"}},
    )

    assert {name: one.holds for name, one in found.found.items()} == {
        "renamed": False,
        "shuffled": False,
        "mostly": True,
    }
    sevens = set(ROWS.filter(pl.col("plane").str.starts_with("N7"))["row"])
    assert {int(one.row) for one in found.found["renamed"].violations} <= sevens
    assert found.found["renamed"].numbers["share"].value == pytest.approx(1 - len(sevens) / 1000, abs=0.002)


def test_a_disturbance_may_cost_what_is_allowed(experiment):
    found, outcome = evaluate(
        experiment,
        noise={"by": "perturbation", "noise": {"rain": 0.05}, "max_growth": 0.05},
        missing={"by": "perturbation", "change": {"rain": "NULL"}, "max_growth": 0.05},
        unit={"by": "perturbation", "change": {"rain": "rain * 25.4"}, "max_growth": 0.05},
    )

    growth = {name: one.numbers["growth"] for name, one in found.found.items()}
    assert [one.holds for one in found.found.values()] == [True, False, False]
    assert growth["noise"].value < 0.05 < growth["missing"].low < growth["unit"].low
    assert found.to_numbers()["held"] == 1
    assert outcome.state == "fail"


def test_named_rows_give_what_anybody_would_say_of_them(experiment):
    dry = {"values": {"rain": 0.0, "hour": 12}, "high": 0.3}
    flood = {"values": {"rain": 10.0, "hour": 12, "plane": "N1"}, "low": 0.9}
    late = {"values": {"rain": 10.0, "hour": 1, "plane": "N1"}, "low": 0.9}

    found, _ = evaluate(
        experiment,
        sound={"by": "functionality", "rows": {"dry": dry, "flood": flood}},
        broken={"by": "functionality", "rows": {"dry": dry, "late": late}},
    )

    assert found.found["sound"].holds
    assert found.found["broken"].sentence.startswith("1 of 2 named rows give what they must: late gives 0.002")
    assert [one.row for one in found.found["broken"].violations] == ["late"]


def test_a_typical_row_has_the_median_and_the_most_frequent_value():
    frame = pl.DataFrame({"a": [3, 1, None, 9], "b": ["x", "y", "y", None], "c": pl.Series([None] * 4, dtype=pl.Int64)})

    assert find_typical(frame) == {"a": 3, "b": "y", "c": None}


def test_a_sample_is_spread_over_the_test_split_and_has_the_blocks_of_its_rows(experiment):
    found, _ = evaluate(
        experiment, few={"by": "invariance", "change": {"hour": "hour"}, "tolerance": 0.0, "sample": 100}
    )

    assert (found.found["few"].rows, found.found["few"].holds) == (100, True)


def test_a_column_keeps_its_type_and_a_change_is_the_same_each_time():
    declared = READ.validate_python(
        {"by": "invariance", "change": {"hour": "hour * 1.3"}, "noise": {"rain": 0.1}, "tolerance": 0.0}
    )

    first, second = (change_rows(ROWS, declared, columns=COLUMNS, key="k") for _ in range(2))

    assert first.schema == ROWS.schema
    assert first.equals(second)
    assert first["hour"].to_list()[:4] == [0, 1, 3, 4]
    assert (first["rain"] - ROWS["rain"]).std() == pytest.approx(0.1 * ROWS["rain"].std(), rel=0.1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"noise": {"plane": 0.1}}, r"k.noise.plane: noise is for numbers; the column is String"),
        ({"change": {"hour": "plane"}}, r"k.change"),
        ({"shuffle": ["plain"]}, r"k: no column 'plain'.*plane"),
    ],
)
def test_a_change_that_does_not_fit_is_told(change, told):
    declared = READ.validate_python({"by": "invariance", "tolerance": 0.0, **change})

    with pytest.raises(TreadleError, match=told):
        change_rows(ROWS, declared, columns=COLUMNS, key="k")


def test_mistakes_are_found_before_anything_runs(root):
    bad = "{by: direction, change: {ages: age + 1, age: agee + 1}, expect: not_lower, min_share: 0.5, shuffle: [rase]}"

    with pytest.raises(ConfigError) as caught:
        resolve(overrides=["experiment=adult", f"+evaluation.behaviour.older={bad}"], root=root)

    prefix = "evaluation.behaviour.older"
    assert {problem.key.removeprefix(f"{prefix}.") for problem in caught.value.problems} == {
        "change.ages",
        "change.age",
        "shuffle.0",
    }


def test_without_a_declaration_there_is_no_answer_and_the_check_is_not_applicable(experiment):
    assert evaluate(experiment)[0] is None
    assert evaluate(experiment)[1].state == "not applicable"


def test_the_section_of_the_report_lists_the_rows(experiment):
    found, _ = evaluate(experiment, renamed={"by": "invariance", "change": {"plane": "'N1'"}, "tolerance": 0.02})

    page = render_page("parts/behaviour.html.jinja", found=found)

    assert f"{found.found['renamed'].violations[0].row}: 0, 0." in page
