"""A sweep of a folder, without a project: its ledger is filled by hand."""

from treadle.experiment.spec import Sweep as Settings
from treadle.sweeps.declaration import write
from treadle.sweeps.ledger import Ledger
from treadle.sweeps.space import Base, Space
from treadle.sweeps.sweep import Objective, Sweep

LOSS = Objective("loss", column="valid/loss", higher_is_better=False)
ACCURACY = Objective("accuracy", column="valid/accuracy", higher_is_better=True)


def make_sweep(root, axes, *, objectives=(LOSS,), seeds=(0,), folds=(), sampler="tpe", question=None):
    settings = Settings(
        space={},
        sampler=sampler,
        pruner="none",
        objective="auto",
        seeds=len(seeds),
        max_trials=None,
        max_time=None,
        patience=None,
        confirm=None,
        timeout=None,
        workers="auto",
        retries=0,
    )
    space = Space(tuple(axes), (), {"[]": Base({}, {}, root, [], {})}, question)
    sweep = Sweep(root / "sweeps/flights-0123abcd", space, settings, tuple(seeds), tuple(folds), tuple(objectives), {})
    write(sweep)
    return sweep, Ledger(sweep.folder)
