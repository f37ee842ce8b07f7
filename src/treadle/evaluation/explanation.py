"""What a model relies on: the importance of the examples' columns, and how its predictions follow the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from treadle.evaluation.association import find_center, group_columns, measure_association
from treadle.evaluation.attribution import Attributed, attribute
from treadle.evaluation.comparison import SEED, make_resampling
from treadle.evaluation.dependence import Dependence, measure_dependence
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.importance import Importance, measure_importance
from treadle.evaluation.resampling import Floats, Ints
from treadle.evaluation.scores import compute_losses
from treadle.experiment.members import list_members
from treadle.experiment.spec import Experiment
from treadle.experiment.spec.evaluation import Explanation
from treadle.lineage.graph import trace_experiment
from treadle.pages.charts import Bar, draw_bars, draw_dependence
from treadle.schema import ROW

_ASSOCIATED_ROWS = 5_000  # from which associations are read
_CURVES_SHARE = 0.3  # of the predictions that partial dependence may take
_MIN_ROWS = 50  # permuted of each column, also where more columns than predictions allow it
_BACKGROUND_ROWS = 1_000  # whose mean prediction attributions start from
_NUM_BARS = 20  # of the chart


@dataclass(frozen=True)
class ExplanationFindings:
    """What a model relies on."""

    rows: int  # permuted of each column
    loss: float  # mean of these rows, as it is
    importances: Sequence[Importance]  # the largest first
    dependences: Sequence[Dependence]
    attributed: Attributed | None  # None: not asked

    @cached_property
    def importance_chart(self) -> str:
        """As SVG."""
        bars = [
            Bar(one.name, one.growth, None if one.interval is None else (one.interval.low, one.interval.high))
            for one in self.importances[:_NUM_BARS]
        ]
        return draw_bars(title="Growth of the loss when permuted", bars=bars)

    @cached_property
    def dependence_charts(self) -> list[str]:
        """As SVG."""
        return [
            draw_dependence(
                title=one.column,
                values=one.values,
                curves={name: (curve.means, curve.lows, curve.highs) for name, curve in one.curves.items()},
                shares=one.shares,
                edges=one.edges,
            )
            for one in self.dependences
        ]

    @cached_property
    def attribution_chart(self) -> str:
        """As SVG."""
        sizes = {} if self.attributed is None else self.attributed.sizes
        bars = [Bar(name, value) for name, value in list(sizes.items())[:_NUM_BARS]]
        return draw_bars(title="Mean size of the attributions", bars=bars)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rows": self.rows,
            "loss": self.loss,
            "importance": {one.name: one.to_plain() for one in self.importances},
            "dependence": [one.to_plain() for one in self.dependences],
            "attributions": None if self.attributed is None else self.attributed.to_plain(),
        }

    def to_numbers(self) -> dict[str, float]:
        """How many columns, or groups, matter beyond noise, and how much the first of them."""
        return {
            "relied_on": float(sum(one.is_relied_on for one in self.importances)),
            "largest_growth": max((one.growth for one in self.importances), default=0.0),
        }


def explain(evaluated: Evaluated) -> ExplanationFindings | None:
    """Explain the model; None if `evaluation.explanation` is null."""
    settings = evaluated.experiment.evaluation.explanation
    if settings is None:
        return None
    generator = np.random.default_rng(SEED)
    columns = list_read_columns(evaluated.experiment, list(evaluated.bundle.card.columns))
    sample = _take(evaluated, _draw(len(evaluated.target), _ASSOCIATED_ROWS, generator)).select(columns)
    association = measure_association(sample)
    groups = _form_groups(columns, association, settings)
    return _explain(evaluated, settings, groups, sample=sample, association=association, generator=generator)


def _explain(
    evaluated: Evaluated,
    settings: Explanation,
    groups: dict[str, list[str]],
    *,
    sample: pl.DataFrame,
    association: Floats,
    generator: np.random.Generator,
) -> ExplanationFindings:
    resampling = make_resampling(evaluated.experiment)
    budget = settings.predictions * (1 - _CURVES_SHARE if settings.curves else 1)
    positions = _draw(len(evaluated.target), max(_MIN_ROWS, int(budget / max(1, len(groups)))), generator)
    rows, blocks = _take(evaluated, positions), evaluated.blocks.take(positions)
    prediction, target = evaluated.predictions[MODEL].numpy()[positions], evaluated.target.numpy()[positions]
    importances = measure_importance(
        evaluated.bundle,
        rows,
        groups,
        prediction=prediction,
        target=target,
        blocks=blocks,
        resampling=resampling,
        generator=generator,
    )
    few = max(_MIN_ROWS, int(settings.predictions * _CURVES_SHARE / max(1, settings.curves * settings.points)))
    order = generator.permutation(len(positions))[:few]
    public = [[name for name in one.columns if name not in evaluated.bundle.private] for one in importances]
    drawn = [_choose_column(group, sample.columns, association) for group in public if group]
    dependences = [
        measure_dependence(
            evaluated.bundle,
            rows[order],
            column,
            everything=sample[column],
            num_points=settings.points,
            blocks=blocks.take(order),
            resampling=resampling,
        )
        for column in drawn[: settings.curves]
    ]
    loss = float(compute_losses(prediction, target=target, task=evaluated.task).mean())
    attributed = _attribute(evaluated, settings.attributions, sample, generator) if settings.attributions else None
    found = [one for one in dependences if one is not None]
    return ExplanationFindings(len(positions), loss, importances, found, attributed)


def _attribute(evaluated: Evaluated, count: int, sample: pl.DataFrame, generator: np.random.Generator) -> Attributed:
    """Of some test rows, before the background of others."""
    positions = _draw(len(evaluated.target), count, generator)
    background = _take(evaluated, _draw(len(evaluated.target), _BACKGROUND_ROWS, generator))
    values, predictions = attribute(
        evaluated.bundle, _take(evaluated, positions), background, columns=sample.columns, seed=SEED
    )
    keys = evaluated.test.select(ROW).collect()[ROW][positions]
    names = evaluated.bundle.classes
    predicted = tuple(names[place] for place in predictions.argmax(dim=1).tolist()) if names else ()
    shown = predictions.max(dim=1).values if names else predictions
    return Attributed(tuple(sample.columns), tuple(keys.to_list()), tuple(shown.tolist()), predicted, values)


def list_read_columns(experiment: Experiment, columns: Sequence[str]) -> list[str]:
    """Those of the examples' columns that a feature of the model reads."""
    read: set[str] = set()
    for one in list_members(experiment).values() or [experiment]:
        graph = trace_experiment(one)
        read |= graph.reach(graph.features, past=False)
    return [name for name in columns if f"examples.{name}" in read]


def _form_groups(columns: Sequence[str], association: Floats, settings: Explanation) -> dict[str, list[str]]:
    """The declared groups, as far as the model reads their columns, then the other columns by association."""
    declared = {name: [c for c in given if c in columns] for name, given in settings.groups.items()}
    taken = {name for given in declared.values() for name in given}
    free = [place for place, name in enumerate(columns) if name not in taken]
    found = group_columns(association[np.ix_(free, free)], threshold=settings.max_association) if free else []
    named = [[columns[free[place]] for place in group] for group in found]
    return {name: given for name, given in declared.items() if given} | {" + ".join(group): group for group in named}


def _choose_column(group: Sequence[str], columns: Sequence[str], association: Floats) -> str:
    """The column that stands for its group."""
    return columns[find_center(association, [columns.index(name) for name in group])]


def _draw(num_rows: int, count: int, generator: np.random.Generator) -> Ints:
    """Positions of some rows, in order."""
    return np.sort(generator.permutation(num_rows)[:count])


def _take(evaluated: Evaluated, positions: Ints) -> pl.DataFrame:
    """Test rows as the bundle takes them."""
    names = list(evaluated.bundle.card.columns)
    return evaluated.test.select(names).collect(engine="streaming")[positions]
