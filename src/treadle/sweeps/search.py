"""Search: which setting a sampler tries next, and which trial a pruner stops. By Optuna, in memory.

A study is made anew from the ledger at each question, with a sampler seeded by the sweep and the number of the setting.
So the answer follows from what the ledger holds, and a sweep that was killed goes on with the same suggestions.
(Optuna's own journal does not do: a kill while it is written leaves a lock, and a torn line loses a trial.)

CMA-ES keeps its state in the ledger as a pickle, as Optuna writes it: resume the sweeps of people whom you trust.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from treadle.experiment.fingerprint import digest
from treadle.sweeps.axes import Axis, Choices

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

_STARTUP = 5  # settings that finish before any is pruned
_TARGETS = 5  # best settings that tell which axes matter
_STUDY = "treadle"  # Hyperband's bracket is a hash of this name and the trial's number


@dataclass
class Point:
    """A setting as a sampler sees it: the mean over its replicates."""

    suggestion: dict[str, Any]
    state: Literal["running", "done", "pruned", "failed"]
    values: list[float] | None = None  # one for each objective
    epochs: dict[int, float] = field(default_factory=dict)  # of the replicate that may be pruned


@dataclass(frozen=True)
class Search:
    """A search over a space.

    Args:
        axes: those that choose an option of a group before those that depend on it.
        applies: whether an axis exists under the values chosen so far.
        sampler: how it chooses.
        pruner: which trials it stops.
        maximize: for each objective whether more is better.
        seed: same seed and same ledger, same suggestion.
        max_epochs: of a trial, for Hyperband.
    """

    axes: Sequence[Axis]
    applies: Callable[[Axis, Mapping[str, str]], bool]
    sampler: str
    pruner: str
    maximize: tuple[bool, ...]
    seed: int
    max_epochs: int

    def suggest(self, points: Sequence[Point]) -> tuple[dict[str, str], dict[str, Any]]:
        """The next setting, by key, and what the ledger keeps of the suggestion.

        A sampler that suggests what was tried already gives way to chance, until that finds another one.

        Args:
            points: every setting so far, in the order in which they were suggested; not all that there are.
        """
        from optuna.samplers import RandomSampler

        tried = [point.suggestion["params"] for point in points]
        study = self._rebuild(points)
        setting, frozen = self._ask(study)
        study.sampler = RandomSampler(seed=self._seed_sampler(len(points)))
        while frozen.params in tried:
            setting, frozen = self._ask(study)
        return setting, {"params": frozen.params, "system_attrs": frozen.system_attrs}

    def _ask(self, study: optuna.Study) -> tuple[dict[str, str], optuna.trial.FrozenTrial]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is experimental there is tested here
            trial = study.ask()
            setting: dict[str, str] = {}
            for axis in self.axes:
                if self.applies(axis, setting):
                    setting[axis.key] = _suggest(trial, axis)
        return setting, study.get_trials(deepcopy=False)[trial.number]

    def should_prune(self, points: Sequence[Point], number: int) -> tuple[bool, dict[str, Any]]:
        """Whether the running point of that number is to be stopped after its newest epoch.

        Returns:
            The decision, and what the ledger keeps of the point from now on in place of its suggestion.
        """
        point = points[number]
        if self.pruner == "none" or not all(map(math.isfinite, point.epochs.values())):
            return False, point.suggestion
        study = self._rebuild(points)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            is_hopeless = study.pruner.prune(study, study.get_trials(deepcopy=False)[number])
        attributes = study.get_trials(deepcopy=False)[number].system_attrs  # such as the rung that it has reached
        return is_hopeless, {**point.suggestion, "system_attrs": attributes}

    def measure_importance(self, points: Sequence[Point]) -> dict[str, float]:
        """Each axis' share of what moves the first objective (PED-ANOVA); empty where too little is known.

        It compares the best tenth with all, but at least five settings, else a random axis gets half of the share.
        """
        import optuna

        study = self._rebuild(points)
        target = (lambda trial: trial.values[0]) if len(self.maximize) > 1 else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            share = min(0.5, max(0.1, _TARGETS / max(1, len(points))))
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
            try:
                return dict(optuna.importance.get_param_importances(study, evaluator=evaluator, target=target))
            except (RuntimeError, ValueError):  # fewer than two finished trials, or all of them equal
                return {}

    def _rebuild(self, points: Sequence[Point]) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(
                study_name=_STUDY,
                directions=["maximize" if more else "minimize" for more in self.maximize],
                sampler=self._make_sampler(len(points)),
                pruner=self._make_pruner(),
            )
            study.add_trials([self._to_trial(point) for point in points])
        return study

    def _to_trial(self, point: Point) -> optuna.trial.FrozenTrial:
        import optuna
        from optuna.trial import TrialState

        states = {"running": TrialState.RUNNING, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        params = point.suggestion["params"]
        by_key = {axis.key: axis for axis in self.axes}
        return optuna.trial.create_trial(
            state=states.get(point.state, TrialState.COMPLETE),
            values=point.values if point.state == "done" else None,
            params=params,
            distributions={key: _to_distribution(by_key[key]) for key in params},
            system_attrs=point.suggestion["system_attrs"],
            intermediate_values=point.epochs if len(self.maximize) == 1 else {},
        )

    def _seed_sampler(self, number: int) -> int:
        return int(digest(json.dumps([self.seed, number]))[:8], 16)

    def _make_sampler(self, number: int) -> optuna.samplers.BaseSampler:
        from optuna import samplers

        seed = self._seed_sampler(number)
        makers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
            "random": lambda: samplers.RandomSampler(seed=seed),
            "tpe": lambda: samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
            "cmaes": lambda: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
            "gp": lambda: samplers.GPSampler(seed=seed, warn_independent_sampling=False),
            "nsga2": lambda: samplers.NSGAIISampler(seed=seed),
            "qmc": lambda: _make_qmc(self.seed, independent_seed=seed),
        }
        return makers[self.sampler]()

    def _make_pruner(self) -> optuna.pruners.BasePruner:
        from optuna import pruners

        makers: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
            "none": pruners.NopPruner,
            "median": lambda: pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=1),
            "halving": pruners.SuccessiveHalvingPruner,
            "hyperband": lambda: pruners.HyperbandPruner(max_resource=self.max_epochs),
        }
        return makers[self.pruner]()


def _make_qmc(seed: int, *, independent_seed: int) -> optuna.samplers.BaseSampler:
    """Scrambled Sobol points: one seed for all, whose place in the sequence is the number of the setting.

    The first setting, and axes that it lacks, are drawn by chance. Optuna keeps the place in the study, made anew here.
    """
    from optuna.samplers import QMCSampler, RandomSampler

    class PlacedQmc(QMCSampler):
        def sample_relative(
            self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, BaseDistribution]
        ) -> dict[str, Any]:
            for _ in range(1, trial.number):  # each call takes the next place
                super().sample_relative(study, trial, search_space)
            return super().sample_relative(study, trial, search_space)

    chance = RandomSampler(seed=independent_seed)
    return PlacedQmc(seed=seed, scramble=True, independent_sampler=chance, warn_independent_sampling=False)


def _suggest(trial: optuna.Trial, axis: Axis) -> str:
    if isinstance(axis, Choices):
        return str(trial.suggest_categorical(axis.key, axis.values))
    if axis.is_integer:
        return str(trial.suggest_int(axis.key, int(axis.low), int(axis.high), log=axis.is_log))
    return repr(trial.suggest_float(axis.key, axis.low, axis.high, log=axis.is_log))


def _to_distribution(axis: Axis) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choices):
        return CategoricalDistribution(axis.values)
    if axis.is_integer:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.is_log)
    return FloatDistribution(axis.low, axis.high, log=axis.is_log)
