"""The place of a run in a sweep, for its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SEEDS_ALONE = "seeds alone"  # the setting of a sweep that varies nothing else


@dataclass(frozen=True)
class Membership:
    """A run's place in a sweep, as its record tells it."""

    setting: str  # the swept values but the seed, as one text: what dashboards group by
    group: str | None = None  # name of the sweep
    job_type: str | None = None  # what the run is for: search, confirm
    options: Mapping[str, str] = field(default_factory=dict)  # of swept groups: the configuration holds their values


def write_setting(setting: Mapping[str, str]) -> str:
    """One text for the swept values: `model.width=16 schedule.optimizer.lr=0.001`, in the order of the keys."""
    return " ".join(f"{key.lstrip('+')}={text}" for key, text in sorted(setting.items())) or SEEDS_ALONE
