"""What a replay says: how models age, what each policy would have gained and cost, and which is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.evaluation.comparison import find_judging_metric, make_resampling, make_scoring
from treadle.evaluation.intervals import Estimate, Samples, estimate_means, resample
from treadle.evaluation.resampling import Blocks
from treadle.evaluation.scores import compute_losses
from treadle.experiment.durations import parse_duration
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment, OnAlarm, OnPerformance, Policy, Replay
from treadle.metrics.registry import Metric
from treadle.monitoring.charts import Charts
from treadle.profiles.realised import find_prior_loss
from treadle.replay.alarms import make_charts, measure_alarmed
from treadle.replay.matrix import Kind, Origin, Plan, get_kind, get_origin
from treadle.replay.policies import Skill, Stay, walk
from treadle.replay.predictions import Array, Predictions
from treadle.schema import PREDICT_AT

Floats = NDArray[np.float64]
_ENOUGH = 0.5  # share of a block's length over which labels must be known for the skill to be judged
CAVEAT = (
    "All of it is one stretch of the past: intervals are over its blocks of rows, and say nothing of a season, a trend "
    "or a break that it does not hold. One year is one year."
)


@dataclass(frozen=True)
class Ageing:
    """How much worse models of an age are than new ones in the same blocks."""

    age: int  # blocks: 1 predicts the block that begins when it was trained
    loss: Estimate | None  # of the metric, positive where it is worse; None: too few blocks of rows
    value: float  # the metric at that age
    num_blocks: int  # in which there is a model so old


@dataclass(frozen=True)
class Money:
    """What a policy costs, in the unit of `replay.cost`."""

    training: float
    labels: float
    decisions: float | None  # None: they are not weighed

    @property
    def total(self) -> float:
        """All of it."""
        return self.training + self.labels + (self.decisions or 0.0)


@dataclass(frozen=True)
class Outcome:
    """What a policy would have done."""

    name: str
    policy: Policy
    stays: Sequence[Stay]
    num_rows: int  # that its trainings read, all together
    hours: float  # of training
    value: float  # of the metric
    gain: Estimate | None  # over the first model for ever, positive where it is better
    behind: Estimate | None  # the best policy's lead, positive; of the metric, or of money where decisions are weighed
    money: Money

    @property
    def num_trainings(self) -> int:
        """The first included."""
        return len(self.stays)


@dataclass(frozen=True)
class Answer:
    """Everything that a replay found."""

    plan: Plan
    metric: Metric
    is_by_money: bool  # whether decisions are weighed, so that money decides
    blocks: Blocks
    num_rows: int
    coverage: float
    ageing: Sequence[Ageing]
    outcomes: Sequence[Outcome]
    best: str  # by its value alone
    recommended: str

    def find(self, name: str) -> Outcome:
        """A policy's outcome."""
        return next(outcome for outcome in self.outcomes if outcome.name == name)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "starts": [start.isoformat() for start in self.plan.starts],
            "step": str(self.plan.step),
            "metric": self.metric.name,
            "rows": self.num_rows,
            "blocks": {"unit": self.blocks.unit, "count": self.blocks.count, "coverage": self.coverage},
            "ageing": [
                {"age": a.age, "value": a.value, "loss": _to_plain(a.loss), "blocks": a.num_blocks} for a in self.ageing
            ],
            "policies": {outcome.name: self._write(outcome) for outcome in self.outcomes},
            "best": self.best,
            "recommended": self.recommended,
            "caveat": CAVEAT,
        }

    def _write(self, outcome: Outcome) -> dict[str, Any]:
        return {
            **outcome.policy.model_dump(mode="json"),
            "trainings": outcome.num_trainings,
            "rows": outcome.num_rows,
            "hours": round(outcome.hours, 5),
            "value": outcome.value,
            "gain": _to_plain(outcome.gain),
            "behind_best": _to_plain(outcome.behind),
            "cost": {**asdict(outcome.money), "total": outcome.money.total},
            "models": [
                {"from": self.plan.starts[stay.block].isoformat(), "blocks": stay.num_blocks, "reason": stay.reason}
                for stay in outcome.stays
            ],
        }


def _to_plain(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else found.to_plain()


@dataclass(frozen=True)
class Review:
    """The matrix, ready to be asked."""

    plan: Plan
    predictions: Predictions
    experiment: Experiment
    settings: Replay
    hours: Mapping[Origin, float]  # of training
    runs: Mapping[Origin, RunFolder]

    @cached_property
    def metric(self) -> Metric:
        """By which models are compared."""
        return find_judging_metric(self.experiment)

    @cached_property
    def edges(self) -> list[int]:
        """The first row of each block, and the number of rows."""
        return [self.predictions.locate(start) for start in self.plan.starts]

    @cached_property
    def losses(self) -> dict[Origin, Floats]:
        """`[N]` loss of each row by each model, where it predicts."""
        return {
            origin: compute_losses(values, target=self.predictions.target, task=self.experiment.data.answer)
            for origin, values in self.predictions.models.items()
        }

    # --- ageing

    def measure_ageing(self) -> list[Ageing]:
        """Of models that learn from all the past."""
        return [self._measure_age(age) for age in range(1, self.plan.num_blocks + 1)]

    def _measure_age(self, age: int) -> Ageing:
        blocks = range(age - 1, self.plan.num_blocks)
        rows = slice(self.edges[age - 1], self.edges[-1])
        aged, fresh = (self._join([Origin(block - back, None) for block in blocks], blocks) for back in (age - 1, 0))
        samples = self._resample({"aged": aged, "fresh": fresh}, rows)
        loss = self._estimate(samples["fresh"].subtract(samples["aged"])) if age > 1 else None
        return Ageing(age, loss, samples["aged"].whole[self.metric.name], len(blocks))

    def _join(self, origins: Sequence[Origin], blocks: Sequence[int]) -> Array:
        """The predictions of a model in each block, one after the other."""
        models = self.predictions.models
        parts = [models[o][self.edges[b] : self.edges[b + 1]] for o, b in zip(origins, blocks, strict=True)]
        return np.concatenate(parts)

    def _resample(self, candidates: Mapping[str, Array], rows: slice) -> dict[str, Samples]:
        return resample(
            candidates,
            target=self.predictions.target[rows],
            blocks=self.predictions.blocks.take(np.arange(rows.start, rows.stop)),
            scoring=make_scoring(self.experiment),
            resampling=make_resampling(self.experiment),
            metrics=[self.metric.name],
        )

    def _estimate(self, difference: Samples) -> Estimate | None:
        """Positive where the first is better."""
        found = difference.estimate(self.metric.name, coverage=make_resampling(self.experiment).coverage)
        return found if found is None or self.metric.higher_is_better else _negate(found)

    # --- policies

    def walk(self, policy: Policy) -> list[Stay]:
        """The models that it would have used."""
        kind = get_kind(policy)
        charts: dict[int, Charts] = {}

        def watch(trained: int, block: int) -> float | None:
            if not isinstance(policy, OnAlarm):
                return None
            run = self.runs[get_origin(trained, kind)]
            if trained not in charts:
                charts[trained] = make_charts(run, self.experiment, false_alarms=policy.false_alarms)
            span = self.plan.starts[block - 1], self.plan.starts[block]
            rows = pl.scan_parquet(run.examples / "test.parquet").filter(
                pl.col(PREDICT_AT).is_between(*span, closed="left")
            )
            return measure_alarmed(charts[trained], rows.collect())

        def look(trained: int, block: int) -> Skill | None:
            return self.look(get_origin(trained, kind), block)

        return walk(policy, num_blocks=self.plan.num_blocks, look=look, watch=watch)

    def look(self, origin: Origin, block: int) -> Skill | None:
        """The skill of a model as it is known when a block begins: labels come `label_delay` after the prediction."""
        starts, delay = self.plan.starts, parse_duration(self.plan.label_delay)
        until, length = starts[block] - delay, starts[block] - starts[block - 1]
        since = max(starts[origin.block], until - length)
        if (until - since) < _ENOUGH * length:
            return None
        begun = starts[origin.block], min(starts[origin.block + 1], until)  # its first block, as far as it is known
        first, newest = (
            self._measure_skill(origin, *map(self.predictions.locate, span)) for span in (begun, (since, until))
        )
        return None if first is None or newest is None else Skill(first, newest)

    def _measure_skill(self, origin: Origin, start: int, stop: int) -> float | None:
        if stop <= start:
            return None
        prior = find_prior_loss(self.predictions.target[start:stop], task=self.experiment.data.answer)
        return None if prior <= 0 else 1 - float(self.losses[origin][start:stop].mean()) / prior

    def answer(self) -> Answer:
        """Everything."""
        walks = {name: self.walk(policy) for name, policy in self.settings.policies.items()}
        used = {name: self._follow(stays, get_kind(self.settings.policies[name])) for name, stays in walks.items()}
        blocks = range(self.plan.num_blocks)
        first = self._join([Origin(0, None) for _ in blocks], blocks)
        samples = self._resample({"": first, **used}, slice(0, self.edges[-1]))
        values = {name: samples[name].whole[self.metric.name] for name in walks}
        money = {name: self._weigh(name, stays, used[name]) for name, stays in walks.items()}
        by_money = self.settings.cost.missed is not None
        better = 1.0 if self.metric.higher_is_better else -1.0
        best = min(walks, key=lambda name: money[name].total if by_money else -better * values[name])
        outcomes = []
        for name, stays in walks.items():
            behind = (
                self._compare_money(used[name], used[best], money[name], money[best])
                if by_money
                else self._estimate(samples[best].subtract(samples[name]))
            )
            gain = self._estimate(samples[name].subtract(samples[""]))
            hours, rows = self._sum_trainings(name, stays)
            policy = self.settings.policies[name]
            outcomes.append(Outcome(name, policy, stays, rows, hours, values[name], gain, behind, money[name]))
        return Answer(
            plan=self.plan,
            metric=self.metric,
            is_by_money=by_money,
            blocks=self.predictions.blocks,
            num_rows=self.edges[-1],
            coverage=make_resampling(self.experiment).coverage,
            ageing=self.measure_ageing(),
            outcomes=outcomes,
            best=best,
            recommended=recommend(outcomes, best=best),
        )

    def _follow(self, stays: Sequence[Stay], kind: Kind) -> Array:
        origins = [get_origin(stay.block, kind) for stay in stays for _ in range(stay.num_blocks)]
        return self._join(origins, range(self.plan.num_blocks))

    def _sum_trainings(self, name: str, stays: Sequence[Stay]) -> tuple[float, int]:
        origins = [get_origin(stay.block, get_kind(self.settings.policies[name])) for stay in stays]
        return sum(self.hours[o] for o in origins), sum(self.predictions.num_trained[o] for o in origins)

    def _weigh(self, name: str, stays: Sequence[Stay], used: Array) -> Money:
        cost, policy = self.settings.cost, self.settings.policies[name]
        is_watching = isinstance(policy, OnPerformance)
        num_labels = self.edges[-1] if is_watching else self.edges[stays[-1].block]
        decisions = None if cost.missed is None else float(self._weigh_decisions(used).sum())
        hours, _ = self._sum_trainings(name, stays)
        return Money(hours * cost.training_hour, num_labels * cost.label, decisions)

    def _weigh_decisions(self, used: Array) -> Floats:
        """`[N]` what the decision about each row costs.

        The threshold is that at which acting is expected to cost as much as leaving alone (Elkan, "The foundations of
        cost-sensitive learning", 2001).
        """
        cost = self.settings.cost
        assert cost.missed is not None, "asked only where decisions are weighed"
        assert cost.false_alarm is not None, "checked with `missed`"
        acted = used >= cost.false_alarm / (cost.missed + cost.false_alarm)
        positive = self.predictions.target[: len(used)].astype(bool)
        weighed: Floats = np.where(positive & ~acted, cost.missed, np.where(acted & ~positive, cost.false_alarm, 0.0))
        return weighed

    def _compare_money(self, used: Array, best: Array, own: Money, least: Money) -> Estimate | None:
        """How much more a policy costs than the cheapest."""
        difference = self._weigh_decisions(used) - self._weigh_decisions(best)
        resampling = make_resampling(self.experiment)
        found = estimate_means(difference[:, None], blocks=self._take_judged(), resampling=resampling)[0]
        fixed = own.training + own.labels - least.training - least.labels
        num = len(used)
        return found and Estimate(found.value * num + fixed, found.low * num + fixed, found.high * num + fixed)

    def _take_judged(self) -> Blocks:
        return self.predictions.blocks.take(np.arange(self.edges[-1]))


def _negate(found: Estimate) -> Estimate:
    return Estimate(0.0 - found.value, 0.0 - found.high, 0.0 - found.low)


def recommend(outcomes: Sequence[Outcome], *, best: str) -> str:
    """The policy with the fewest trainings, then rows, among those that are not behind the best beyond noise.

    Where there are too few blocks of rows for intervals, it is the best.
    """
    enough = [o for o in outcomes if o.name == best or (o.behind is not None and o.behind.low <= 0)]
    return min(enough, key=lambda outcome: (outcome.num_trainings, outcome.num_rows)).name
