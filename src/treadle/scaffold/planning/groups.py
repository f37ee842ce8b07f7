"""Rows that belong together: several of one patient, one user, one machine.

Where all rows of a group have the same answer, a random split tests on groups that training has seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from treadle.scaffold.planning.target import Target
from treadle.scaffold.reading.profile import Profile
from treadle.tasks import TRAITS

MIN_GROUPS = 5  # of a column that is suggested
MIN_TAKEN = 10  # of one that is used without --group: three splits get some each
MIN_UNNAMED = 20  # of one whose name does not show what it is
SAME = 0.9  # agreement from which all rows of a group count as having one answer
_MIN_SIZE = 2.0  # rows of a group, on average
_MARKS = {"id", "uid", "uuid", "guid"}  # last in a name of something
_NUMBERS = {"no", "nr", "num", "number", "name", "code", "key", "index"}  # after what is numbered or named
_AMOUNTS = {"n", "nb", "num", "number", "count", "total"}  # before what is counted
# Of what there are many, each with rows of its own.
_ENTITIES = {
    "account",
    "animal",
    "author",
    "branch",
    "building",
    "car",
    "client",
    "clinic",
    "company",
    "customer",
    "device",
    "doctor",
    "donor",
    "driver",
    "employee",
    "engine",
    "family",
    "farm",
    "firm",
    "hospital",
    "house",
    "household",
    "item",
    "machine",
    "member",
    "merchant",
    "participant",
    "patient",
    "person",
    "plant",
    "player",
    "product",
    "property",
    "pupil",
    "respondent",
    "school",
    "seller",
    "sensor",
    "session",
    "shop",
    "sku",
    "site",
    "speaker",
    "specimen",
    "station",
    "store",
    "student",
    "subject",
    "supplier",
    "teacher",
    "team",
    "user",
    "vehicle",
    "vendor",
    "visitor",
    "worker",
}


@dataclass(frozen=True)
class Entity:
    """A column that names what rows belong to."""

    profile: Profile
    agreement: float  # of the answers within a group, from 0 (as anywhere) to 1 (the same)

    @property
    def is_decisive(self) -> bool:
        """The answer belongs to the group, not to its rows."""
        return self.agreement >= SAME and self.profile.num_distinct >= MIN_TAKEN

    def describe(self) -> str:
        """How many, and how large."""
        size = self.profile.num_rows / self.profile.num_distinct
        return f"{self.profile.num_distinct:,} different values of {self.profile.name!r} with {size:.1f} rows each"


def find_entities(
    columns: Mapping[str, Profile], sample: pl.DataFrame, target: Target, *, aside: Collection[str]
) -> list[Entity]:
    """The columns that name what rows belong to, the decisive ones first, and of these the coarsest.

    Args:
        columns: of the table.
        sample: rows of it.
        target: what is to be predicted.
        aside: columns that have another use.
    """
    rows, label = target.take(sample)
    found = []
    for profile in _list_candidates(columns, aside={*aside, *target.columns}):
        entity = Entity(profile, measure_agreement(rows[profile.name], label))
        is_named = names_entity(profile.name)
        is_clear = entity.is_decisive and profile.num_distinct >= max(MIN_UNNAMED, 3 * _count_answers(label, target))
        if is_named or is_clear:
            found.append(entity)
    return sorted(found, key=lambda entity: (not entity.is_decisive, entity.profile.num_distinct))


def _count_answers(label: pl.Series, target: Target) -> int:
    return 0 if TRAITS[target.task].is_value else label.n_unique()


def _list_candidates(columns: Mapping[str, Profile], *, aside: Collection[str]) -> Iterator[Profile]:
    for name, profile in columns.items():
        is_name = profile.column.dtype == "str" or (profile.column.dtype == "int" and names_entity(name))
        if name in aside or not is_name or profile.num_missing:
            continue
        if MIN_GROUPS <= profile.num_distinct <= profile.num_rows / _MIN_SIZE:
            yield profile


def names_entity(name: str) -> bool:
    """Whether a name is one of something that has several rows: `patient_id`, `UserID`, `store`; not `store_size`."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    if not words or words[0] in _AMOUNTS:
        return False
    is_numbered = words[-1] in _NUMBERS and len(words) > 1
    return words[-1] in _MARKS or words[-1 - is_numbered] in _ENTITIES


def measure_agreement(groups: pl.Series, label: pl.Series) -> float:
    """How much more often two rows of a group have the same answer than any two: 0 as often, 1 always; below 0 less.

    It is Scott's pi over all pairs of rows; 0 where no group has two rows.
    """
    rows = pl.DataFrame({"group": groups, "value": label.cast(pl.String)})
    pairs = (pl.col("len") * (pl.col("len") - 1)).sum()
    num_pairs = rows.group_by("group").len().select(pairs).item()
    if not num_pairs:
        return 0.0
    same = rows.group_by("group", "value").len().select(pairs).item() / num_pairs
    by_chance = float((rows["value"].value_counts()["count"] / len(rows)).pow(2).sum())
    return (same - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0
