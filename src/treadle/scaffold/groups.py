"""Rows that belong together: several of one patient, one user, one machine.

Where all rows of one have the same answer, a split that parts them asks for what training has seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from treadle.scaffold.profile import Profile
from treadle.scaffold.target import Target
from treadle.schema import Task

MIN_GROUPS = 5  # of a column that is suggested
MIN_TAKEN = 10  # of one that is taken unasked: three splits hold some each
MIN_UNNAMED = 20  # of one whose name does not tell what it is
SAME = 0.9  # agreement from which the answers of a group are one
_MIN_SIZE = 2.0  # rows of a group, on average
_MARKS = {"id", "uid", "uuid", "guid", "key"}  # of a name that stands for something
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
        """The answer is one of the group's, and not of its rows."""
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
        aside: columns that are something else.
    """
    rows, label = target.take(sample)
    found = []
    for profile in _list_candidates(columns, aside={*aside, target.name}):
        entity = Entity(profile, measure_agreement(rows[profile.name], label, task=target.task))
        is_named = names_entity(profile.name)
        is_told = entity.is_decisive and profile.num_distinct >= max(MIN_UNNAMED, 3 * _count_answers(label, target))
        if is_named or is_told:
            found.append(entity)
    return sorted(found, key=lambda entity: (not entity.is_decisive, entity.profile.num_distinct))


def _count_answers(label: pl.Series, target: Target) -> int:
    return 0 if target.task == "regression" else label.n_unique()


def _list_candidates(columns: Mapping[str, Profile], *, aside: Collection[str]) -> Iterator[Profile]:
    for name, profile in columns.items():
        is_name = profile.column.dtype == "str" or (profile.column.dtype == "int" and names_entity(name))
        if name in aside or not is_name or profile.num_missing:
            continue
        if MIN_GROUPS <= profile.num_distinct <= profile.num_rows / _MIN_SIZE:
            yield profile


def names_entity(name: str) -> bool:
    """Whether a name is one of something that has several rows: `patient_id`, `UserID`, `store`."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return any(word in _ENTITIES or word.removesuffix("s") in _ENTITIES or word in _MARKS for word in words)


def measure_agreement(groups: pl.Series, label: pl.Series, *, task: Task) -> float:
    """How much more two rows of a group agree than two of any groups: 0 not at all, 1 always; below 0 less.

    Of classes Scott's pi over all pairs of rows, of numbers the intraclass correlation; 0 where no group has two rows.
    """
    value = label.cast(pl.Float64) if task == "regression" else label.cast(pl.String)
    rows = pl.DataFrame({"group": groups, "value": value})
    pairs = pl.col("len") * (pl.col("len") - 1)
    sizes = rows.group_by("group").len()
    num_pairs = sizes.select(pairs.sum()).item()
    if not num_pairs:
        return 0.0
    if task == "regression":
        spread = rows.group_by("group").agg(pl.col("value").var().alias("var"), pl.len()).filter(pl.col("len") > 1)
        within = spread.select((pl.col("var") * pl.col("len")).sum() / pl.col("len").sum()).item()
        overall = rows["value"].var()
        return 1 - within / overall if isinstance(overall, float) and overall > 0 else 0.0
    same = rows.group_by("group", "value").len().select(pairs.sum()).item() / num_pairs
    by_chance = float((rows["value"].value_counts()["count"] / len(rows)).pow(2).sum())
    return (same - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0
