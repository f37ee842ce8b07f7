"""`data.sample`: a sample of the training rows, where fewer should do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator

from treadle.experiment.spec.base import Duration, Spec
from treadle.schema import Count, Seed


class Drawn(Spec):
    """What samples have in common: validation and test rows are never drawn."""

    rows: Count
    """Number of training rows in the sample; where there are no more, all stay as they are."""
    seed: Seed
    """Random seed of the sample."""


class UniformSample(Drawn):
    """Each training row as likely as any other (a reservoir)."""

    by: Literal["uniform"]
    """Kind of sample."""


class WeightSample(Drawn):
    """Each training row as likely as its weight says; those that are drawn weigh the same."""

    by: Literal["weight"]
    """Kind of sample."""


class RecencySample(Drawn):
    """Newer training rows likelier than older ones; they keep their weights."""

    by: Literal["recency"]
    """Kind of sample."""
    half_life: Duration
    """Age at which a row is half as likely as the newest training row [duration]."""


SampleRule = Annotated[UniformSample | WeightSample | RecencySample, Discriminator("by")]
