"""A block of the features: what its first step reads of the rows, and the transforms behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from torch import Tensor

from treadle.errors import TreadleError
from treadle.experiment.spec import Block
from treadle.features.base import (
    Chain,
    Encoder,
    FirstStep,
    Part,
    PixelReader,
    Transform,
    Vectorizer,
    find_lost,
    narrow,
    overwrite,
)
from treadle.features.numbers import read_columns, read_rows
from treadle.targets.build import build


@dataclass(frozen=True)
class FittedBlock:
    """What gives a part of the inputs: a first step that reads values, transforms of numbers, or both."""

    name: str
    columns: Sequence[str]  # of the examples, or derived
    first: FirstStep | None  # None: the columns are numbers
    chain: Chain  # empty where the first step gives no numbers

    @property
    def gives(self) -> Part:
        """The part of the inputs that its values belong to."""
        return "numbers" if self.first is None else self.first.GIVES

    @property
    def inputs(self) -> list[str]:
        """Names of what the transforms take."""
        return list(self.columns) if self.first is None else self.first.outputs

    @property
    def sources(self) -> list[str]:
        """The column that each of them comes from."""
        return list(self.columns) if self.first is None else [self.columns[place] for place in self.first.origins]

    @property
    def outputs(self) -> list[str]:
        """Names of what it gives."""
        return self.chain.outputs or self.inputs

    @property
    def origins(self) -> list[str]:
        """The column that each of these comes from."""
        sources = self.sources
        return [sources[place] for place in self.chain.origins] if len(self.chain) else sources

    def read(self, derived: pl.DataFrame) -> Tensor:
        """What the transforms take of rows, or what it gives where there are none: `[B, n]`."""
        if self.first is not None:
            return self.first.read(derived)
        return read_rows(derived, self.columns, key=_name_columns(self.name))

    def keep(self, derived: pl.DataFrame) -> Tensor:
        """What it gives for training rows as it was fitted before; its first step learns further values."""
        if self.first is None:
            values = read_columns(derived, self.columns, key=_name_columns(self.name))
        else:
            self.first.grow(derived)
            values = self.first.read(derived)
        if self.gives != "numbers":
            return values
        for step in self.chain.steps.values():
            values = overwrite(values, step=step)
        return self.narrow(values)

    def narrow(self, values: Tensor) -> Tensor:
        """What the chain gives for training rows, as the network takes it.

        Raises:
            TreadleError: it holds missing values, or numbers that float32 cannot distinguish.
        """
        if self.chain.keeps_missing:
            return narrow(values)
        if values.sum().isnan() and values.isnan().any():  # the sum is faster
            raise TreadleError(f"{_name_steps(self.name)}: missing values remain; begin with an Impute step")
        narrowed = narrow(values)
        if lost := find_lost(values, narrowed):
            raise TreadleError(
                f"{_name_steps(self.name)}: the values of {self.outputs[lost[0]]!r} are large beside what they differ "
                "by, and the network's float32 cannot distinguish them; end with a step that scales, such as "
                "Standardize"
            )
        return narrowed

    def check_state(self) -> None:
        """Each step takes what the one before gives, and has learned for as many columns.

        Raises:
            TreadleError: one does not.
        """
        columns = self.inputs
        for name, step in self.chain.steps.items():
            key = f"{_name_steps(self.name)}.{name}"
            if step.columns != columns:
                raise TreadleError(f"{key}: its columns are not its inputs")
            try:
                step.check_state()
                columns = step.outputs
            except (ValueError, RuntimeError, IndexError) as error:
                raise TreadleError(f"{key}: {error}") from error


@dataclass(frozen=True)
class DeclaredBlock:
    """A block as the configuration declares it: fitted to rows, or made from a state."""

    name: str
    spec: Block
    targets: Sequence[str]  # prefixes of the steps that are allowed

    def fit(self, derived: pl.DataFrame) -> tuple[FittedBlock, Tensor]:
        """The block, and what it gives for the training rows.

        Raises:
            TreadleError: a step does not fit the columns.
        """
        first, steps = self._begin()
        block = FittedBlock(self.name, self.spec.columns, first, Chain())
        if first is None:
            values = read_columns(derived, self.spec.columns, key=_name_columns(self.name))
        else:
            try:
                first.fit(derived)
                values = first.read(derived)
            except TreadleError as error:
                raise TreadleError(f"{_name_steps(self.name)}.{next(iter(self.spec.steps))}: {error}") from error
        if block.gives != "numbers":
            return block, values
        columns = block.inputs
        for name in steps:
            step = self._build(name, columns=columns)
            step.fit(values)
            values, columns = overwrite(values, step=step), step.outputs
            block.chain[name] = step
        return block, block.narrow(values)

    def restore(self, *, state: Mapping[str, Any] | None, columns: Mapping[str, Sequence[str]] | None) -> FittedBlock:
        """The block of a saved state; the tensors of its transforms come later.

        Args:
            state: of its first step, if it has one.
            columns: that go into each of its transforms, if it gives numbers.

        Raises:
            TreadleError: the state is none of this block.
        """
        first, steps = self._begin()
        block = FittedBlock(self.name, self.spec.columns, first, Chain())
        if (first is None) != (state is None) or (block.gives == "numbers") == (columns is None):
            rule = f"must hold the state of the block {self.name!r} where its kind has it, and nowhere else"
            raise TreadleError(rule)
        if first is not None and state is not None:
            first.set_state(state)
        if columns is not None:
            if list(columns) != steps:
                raise TreadleError(f"columns.{self.name}: must hold the columns of the steps {steps}")
            for step in steps:
                block.chain[step] = self._build(step, columns=columns[step])
        return block

    def _begin(self) -> tuple[FirstStep | None, list[str]]:
        """The first step if it reads values, and the names of the transforms."""
        names = list(self.spec.steps)
        first = self._build(names[0], columns=self.spec.columns) if names else None
        if not isinstance(first, FirstStep):
            return None, names
        if first.GIVES != "numbers" and len(names) > 1:
            raise TreadleError(f"{_name_steps(self.name)}.{names[1]}: no step may follow {type(first).__name__}")
        return first, names[1:]

    def _build(self, step: str, *, columns: Sequence[str]) -> Any:
        key = f"{_name_steps(self.name)}.{step}"
        built = build(self.spec.steps[step], key=key, targets=self.targets, columns=list(columns))
        if not isinstance(built, Transform | Encoder | Vectorizer | PixelReader):
            kinds = "a Transform, an Encoder, a Vectorizer or a PixelReader"
            raise TreadleError(f"{key}: a step must be {kinds}, found {type(built).__name__}")
        return built


def _name_columns(block: str) -> str:
    return f"features.blocks.{block}.columns"


def _name_steps(block: str) -> str:
    return f"features.blocks.{block}.steps"
