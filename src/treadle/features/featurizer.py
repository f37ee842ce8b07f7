"""From rows to tensors: expressions, encoders, transforms. Fitted once, saved with the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar, cast

import polars as pl
import pydantic
import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.experiment.spec import Features, Spec
from treadle.features.base import (
    Chain,
    Constants,
    Encoder,
    FirstStep,
    Named,
    Part,
    PixelReader,
    narrow,
    split_rows,
    stack_rows,
)
from treadle.features.blocks import DeclaredBlock, FittedBlock
from treadle.features.derived import DerivedColumns
from treadle.json_files import read_json, write_json
from treadle.schema import IdsBefore, ImageSpan, TokenSpan, list_inputs, make_no_pixels
from treadle.sql.expressions import ExpressionError, limit_derived
from treadle.targets.build import BuildError
from treadle.tensor_files import read_tensors, write_tensors
from treadle.threads import map_ahead
from treadle.validation import describe_first

STATE_FILE = "featurizer.json"
WEIGHTS_FILE = "featurizer.pt"

Kind = TypeVar("Kind", bound=FirstStep)


class Inputs(NamedTuple):
    """What the model sees of B rows."""

    numeric: Tensor  # [B, N] float32, finite; NaN where missing, for a model that takes it
    ids: Tensor  # [B, C] int64
    pixels: Tensor  # [B, P] uint8

    @classmethod
    def of_numbers(cls, numeric: Tensor, ids: Tensor) -> Self:
        """Of rows without images."""
        return cls(numeric, ids, make_no_pixels(ids))

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What a network is called with."""
        return list_inputs(*self)


class Raw(NamedTuple):
    """What the transforms take of B rows: expressions are computed, texts are ids, nothing is fitted yet."""

    numbers: Tensor  # [B, n] float64, the columns of one block of numbers after the other; NaN where missing
    ids: Tensor  # [B, C] int64
    pixels: Tensor  # [B, P] uint8


class Featurizer(nn.Module):
    """Rows in, tensors out.

    Blocks of numbers are concatenated to `numeric`, those whose first step gives ids to `ids`, pixels to `pixels`, each
    in the order of the configuration.
    """

    def __init__(self, spec: Features, *, targets: Sequence[str]) -> None:
        super().__init__()
        self.spec = spec
        self.targets = list(targets)
        self.derived = DerivedColumns(spec)
        self.blocks: dict[str, FittedBlock] = {}
        self.chains = Named()  # of the blocks of numbers
        self.constant_numbers = Constants()
        self.constant_ids = Constants()

    def _add(self, block: FittedBlock) -> None:
        self.blocks[block.name] = block
        if block.gives == "numbers":
            self.chains[block.name] = block.chain

    @property
    def number_blocks(self) -> dict[str, FittedBlock]:
        """Those whose values are numbers, by name."""
        return {name: block for name, block in self.blocks.items() if block.gives == "numbers"}

    @property
    def encoders(self) -> dict[str, Encoder]:
        """Of the blocks of ids."""
        return self._select(Encoder)

    @property
    def pixel_readers(self) -> dict[str, PixelReader]:
        """Of the blocks of images."""
        return self._select(PixelReader)

    def _select(self, kind: type[Kind]) -> dict[str, Kind]:
        return {name: block.first for name, block in self.blocks.items() if isinstance(block.first, kind)}

    # --- outputs

    @property
    def numeric_names(self) -> list[str]:
        """Name of each numeric input, N in all."""
        return [name for block in self.number_blocks.values() for name in block.outputs]

    @property
    def offsets(self) -> list[int]:
        """Position of each numeric input that is added to the model's output."""
        flags = [block.chain.is_offset for block in self.number_blocks.values() for _ in block.outputs]
        return [place for place, is_offset in enumerate(flags) if is_offset]

    @property
    def numeric_columns(self) -> list[str]:
        """The column, of the examples or derived, that each numeric input comes from."""
        return [column for block in self.number_blocks.values() for column in block.origins]

    @property
    def number_columns(self) -> list[str]:
        """The column, of the examples or derived, of each raw number, n in all."""
        return [column for block in self.number_blocks.values() for column in block.sources]

    @property
    def id_names(self) -> list[str]:
        """Name of each input of ids, C in all: its column, with its block where the column has several."""
        pairs = [(block, name) for block, encoder in self.encoders.items() for name in encoder.outputs]
        names = [name for _, name in pairs]
        return [f"{name} ({block})" if names.count(name) > 1 else name for block, name in pairs]

    @property
    def id_columns(self) -> list[str]:
        """The column, of the examples or derived, that each input of ids comes from."""
        return [encoder.columns[place] for encoder in self.encoders.values() for place in encoder.origins]

    @property
    def cardinalities(self) -> list[int]:
        """Number of different ids of each input of ids."""
        return [e.cardinality(e.columns[place]) for e in self.encoders.values() for place in e.origins]

    @property
    def texts(self) -> list[TokenSpan]:
        """Which inputs of ids are the tokens of one text, for each text."""
        found, start = [], 0
        for number, encoder in enumerate(self.encoders.values()):
            found += [TokenSpan(start + span.start, span.length, number) for span in encoder.texts]
            start += len(encoder.outputs)
        return found

    @property
    def images(self) -> list[ImageSpan]:
        """Where each image is among the pixels, P in all."""
        found: list[ImageSpan] = []
        for reader in self.pixel_readers.values():
            start = found[-1].stop if found else 0
            found += [span._replace(start=start + span.start) for span in reader.images]
        return found

    @property
    def num_pixels(self) -> int:
        """Bytes of all images of a row, P."""
        return self.images[-1].stop if self.pixel_readers else 0

    def trace_ids(self, before: Featurizer) -> list[IdsBefore]:
        """Of each input of ids where its ids come from, if another featurizer, of the same inputs, was before.

        Raises:
            TreadleError: the ids of a block cannot be traced.
        """
        found = []
        for (name, encoder), old in zip(self.encoders.items(), before.encoders.values(), strict=True):
            for place in encoder.origins:
                column = encoder.columns[place]
                try:
                    traced = encoder.trace(column, before=old)
                except TreadleError as error:
                    raise TreadleError(f"vocabulary of the block {name!r}: {error}") from error
                found.append(IdsBefore(torch.tensor(traced, dtype=torch.int64), old.cardinality(column)))
        return found

    # --- fit and apply

    def fit(self, frame: pl.DataFrame, *, before: Featurizer | None = None) -> Inputs:
        """Learn from the training split, and return its tensors.

        Args:
            frame: its rows.
            before: fitted, of the same specification: its transforms are kept, and its encoders learn further values.
                None: all is learned from these rows.

        Raises:
            TreadleError: a block does not fit the columns.
        """
        fit_block = self._fit_block if before is None else before._keep_block  # noqa: SLF001 - of this class
        values = []
        for block, given in map_ahead(partial(fit_block, self.derive(frame)), self.spec.blocks):
            self._add(block)
            values.append((block.gives, given))
        inputs = _join(values, num_rows=len(frame))
        self.constant_numbers.fit(inputs.numeric, free=self.offsets)
        self.constant_ids.fit(inputs.ids)
        return inputs

    def _fit_block(self, derived: pl.DataFrame, name: str) -> tuple[FittedBlock, Tensor]:
        return self._declare(name).fit(derived)

    def _keep_block(self, derived: pl.DataFrame, name: str) -> tuple[FittedBlock, Tensor]:
        return self.blocks[name], self.blocks[name].keep(derived)

    def _declare(self, name: str) -> DeclaredBlock:
        return DeclaredBlock(name, self.spec.blocks[name], self.targets)

    @torch.no_grad()
    def forward(self, frame: pl.DataFrame) -> Inputs:
        """Tensors of the rows; what is missing, unknown or infinite has its declared place."""
        derived = self.derive(frame)
        numeric = (
            self._run_chains({name: block.read(part) for name, block in self.number_blocks.items()}, num_rows=len(part))
            for part in (derived[rows] for rows in split_rows(len(frame), num_columns=self._count_numbers(derived)))
        )
        numbers: tuple[Part, Tensor] = ("numbers", stack_rows(numeric, num_rows=len(frame)))
        return self._finish([numbers, *self._read_others(derived)], num_rows=len(frame))

    @torch.no_grad()
    def transform(self, numbers: Mapping[str, Tensor], ids: Tensor, pixels: Tensor) -> Inputs:
        """Tensors of rows whose expressions and ids are computed already, as a server does row by row.

        Args:
            numbers: `[B, n]` float64 of each block of numbers, by name; NaN where missing.
            ids: `[B, C]` of all blocks of ids.
            pixels: `[B, P]` of all blocks of images.
        """
        numeric = self._run_chains(numbers, num_rows=len(ids))
        return self._finish([("numbers", numeric), ("ids", ids), ("pixels", pixels)], num_rows=len(ids))

    @torch.no_grad()
    def read(self, frame: pl.DataFrame) -> Raw:
        """What `transform` takes, of rows: with its numbers split by block, it gives what the featurizer gives."""
        derived = self.derive(frame)
        numbers = [block.read(derived) for block in self.number_blocks.values()]
        others = _join(self._read_others(derived), num_rows=len(frame))
        return Raw(_put_beside(numbers, torch.empty(len(frame), 0).double()), others.ids, others.pixels)

    def _read_others(self, derived: pl.DataFrame) -> list[tuple[Part, Tensor]]:
        """What the blocks give that are none of numbers."""
        return [(block.gives, block.read(derived)) for block in self.blocks.values() if block.gives != "numbers"]

    def split_numbers(self) -> dict[str, slice]:
        """The place of each block of numbers among the raw ones."""
        widths = {name: len(block.inputs) for name, block in self.number_blocks.items()}
        ends = accumulate(widths.values())
        return {name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends, strict=True)}

    def _run_chains(self, numbers: Mapping[str, Tensor], *, num_rows: int) -> Tensor:
        chains = cast("Iterable[tuple[str, Chain]]", self.chains.items())
        return _put_beside([narrow(chain(numbers[name])) for name, chain in chains], torch.empty(num_rows, 0))

    def _finish(self, values: Iterable[tuple[Part, Tensor]], *, num_rows: int) -> Inputs:
        inputs = _join(values, num_rows=num_rows)
        return Inputs(self.constant_numbers(inputs.numeric), self.constant_ids(inputs.ids), inputs.pixels)

    def _count_numbers(self, derived: pl.DataFrame) -> int:
        """The numbers of a row that are worked on."""
        return max([derived.width, *(len(block.inputs) for block in self.number_blocks.values())])

    def derive(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns that the blocks take, derived ones included."""
        return self.derived.compute(frame)

    # --- state

    def save(self, folder: Path) -> None:
        """Write what was learned: plain values to JSON, tensors beside it."""
        state = {
            "encoders": {name: b.first.get_state() for name, b in self.blocks.items() if b.first is not None},
            "columns": {
                name: {step: transform.columns for step, transform in block.chain.steps.items()}
                for name, block in self.number_blocks.items()
            },
        }
        write_json(state, folder / STATE_FILE)
        write_tensors(self.state_dict(), folder / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path, *, spec: Features, targets: Sequence[str]) -> Featurizer:
        """Read what `save` wrote, for the same specification.

        Raises:
            TreadleError: a file holds what no training could have learned, or a target is outside the allow-list.
        """
        try:
            limit_derived(spec.derive)
        except ExpressionError as error:
            raise TreadleError(f"features.derive: {error}") from error
        featurizer = cls(spec, targets=targets)
        with _naming(folder / STATE_FILE):
            state = _State.model_validate(read_json(folder / STATE_FILE))
            if {*state.encoders, *state.columns} != set(spec.blocks):
                raise TreadleError(f"must hold the state of the blocks {sorted(spec.blocks)}")
            for name in spec.blocks:
                saved, columns = state.encoders.get(name), state.columns.get(name)
                featurizer._add(featurizer._declare(name).restore(state=saved, columns=columns))
        tensors = read_tensors(folder / WEIGHTS_FILE)
        with _naming(folder / WEIGHTS_FILE):
            if set(tensors) != set(featurizer.state_dict()):
                raise TreadleError(f"must hold {sorted(featurizer.state_dict())}, found {sorted(tensors)}")
            featurizer.load_state_dict(tensors)
            for block in featurizer.blocks.values():
                block.check_state()
            featurizer.constant_numbers.check_state(num_inputs=len(featurizer.numeric_names))
            featurizer.constant_ids.check_state(num_inputs=len(featurizer.id_names))
        return featurizer


class _State(Spec):
    """What `featurizer.json` holds."""

    encoders: dict[str, dict[str, Any]]  # of each block whose first step reads values: what it knows
    columns: dict[str, dict[str, list[str]]]  # of each block of numbers: what goes into its transforms


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Errors name the file."""
    try:
        yield
    except BuildError:
        raise
    except pydantic.ValidationError as error:
        raise TreadleError(f"{file}: {describe_first(error)}") from error
    except ValueError as error:
        message = str(error)
        raise TreadleError(message if str(file) in message else f"{file}: {message}") from error


def _join(values: Iterable[tuple[Part, Tensor]], *, num_rows: int) -> Inputs:
    """The inputs, of what the blocks give: those of one part stand beside each other."""
    parts: dict[Part, list[Tensor]] = {"numbers": [], "ids": [], "pixels": []}
    for part, tensor in values:
        parts[part].append(tensor)
    none = torch.empty(num_rows, 0)
    return Inputs(
        _put_beside(parts["numbers"], none),
        _put_beside(parts["ids"], none.long()),
        _put_beside(parts["pixels"], none.byte()),
    )


def _put_beside(blocks: list[Tensor], none: Tensor) -> Tensor:
    return blocks[0] if len(blocks) == 1 else torch.cat([none, *blocks], dim=1)
