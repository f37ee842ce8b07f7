"""From rows to tensors: expressions, encoders, transforms. Fitted once, saved with the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import polars as pl
import pydantic
import torch
from polars.exceptions import PolarsError
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.experiment.spec import Block, Features, Spec
from treadle.features.base import (
    COPIED_CELLS,
    LARGEST,
    Chain,
    Constants,
    Encoder,
    FirstStep,
    Named,
    PixelReader,
    Transform,
    Vectorizer,
    find_lost,
    narrow,
    overwrite,
    split_rows,
    stack_rows,
)
from treadle.hints import nearest
from treadle.json_files import read_json, write_json
from treadle.schema import IdsBefore, ImageSpan, TokenSpan, list_inputs, make_no_pixels
from treadle.sql.dialect import TranslationError
from treadle.sql.expressions import ExpressionError, limit_derived, list_columns
from treadle.sql.translate import Schema, to_expr
from treadle.targets.build import BuildError, build
from treadle.tensor_files import read_tensors, write_tensors
from treadle.threads import map_ahead
from treadle.validation import describe_first

STATE_FILE = "featurizer.json"
WEIGHTS_FILE = "featurizer.pt"


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

    Blocks of numbers are concatenated to `numeric`, blocks that begin with an encoder to `ids`, those of images to
    `pixels`, each in the order of the configuration. A block of numbers may begin with a vectorizer, which makes them
    of other values.
    """

    def __init__(self, spec: Features, *, targets: Sequence[str]) -> None:
        super().__init__()
        self.spec = spec
        self.targets = list(targets)
        self._levels = _plan(spec.derive)
        self.encoders: dict[str, Encoder] = {}
        self.vectorizers: dict[str, Vectorizer] = {}
        self.pixel_readers: dict[str, PixelReader] = {}
        self.chains = Named()
        self.constant_numbers = Constants()
        self.constant_ids = Constants()

    # --- outputs

    @property
    def numeric_names(self) -> list[str]:
        """Name of each numeric input, N in all."""
        return [name for block, chain in self._list_chains().items() for name in self._list_outputs(block, chain)]

    @property
    def offsets(self) -> list[int]:
        """Position of each numeric input that is added to the model's output."""
        chains = self._list_chains().items()
        flags = [chain.is_offset for block, chain in chains for _ in self._list_outputs(block, chain)]
        return [place for place, is_offset in enumerate(flags) if is_offset]

    @property
    def numeric_columns(self) -> list[str]:
        """The column, of the examples or derived, that each numeric input comes from."""
        return [column for block, chain in self._list_chains().items() for column in self._list_origins(block, chain)]

    def _list_outputs(self, block: str, chain: Chain) -> list[str]:
        return chain.outputs or self.list_inputs(block)

    def list_inputs(self, block: str) -> list[str]:
        """Names of what the transforms of a block of numbers take."""
        return self.vectorizers[block].outputs if block in self.vectorizers else self.spec.blocks[block].columns

    def _list_sources(self, block: str) -> list[str]:
        """The column that each of them comes from."""
        columns = self.spec.blocks[block].columns
        first = self.vectorizers.get(block)
        return columns if first is None else [columns[position] for position in first.origins]

    def _list_origins(self, block: str, chain: Chain) -> Iterator[str]:
        columns = self._list_sources(block)
        for position in chain.origins if len(chain) else range(len(columns)):
            yield columns[position]

    @property
    def number_columns(self) -> list[str]:
        """The column, of the examples or derived, of each raw number, n in all."""
        return [column for block in self._list_chains() for column in self._list_sources(block)]

    @property
    def id_names(self) -> list[str]:
        """Name of each input of ids, C in all: its column, with its block where the column has several."""
        names = [name for encoder in self.encoders.values() for name in encoder.outputs]
        pairs = [(block, name) for block, encoder in self.encoders.items() for name in encoder.outputs]
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
    def image_columns(self) -> list[str]:
        """The column that each image comes from."""
        return [column for reader in self.pixel_readers.values() for column in reader.columns]

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
        derived = self.derive(frame)
        numeric, ids, pixels = [], [], []
        blocks = self.spec.blocks
        fitted = map_ahead(partial(self._fit_block if before is None else before._keep_block, derived), blocks)  # noqa: SLF001 - of this class
        for name, (first, chain, values) in zip(blocks, fitted, strict=True):
            if isinstance(first, Encoder):
                self.encoders[name] = first
                ids.append(values)
                continue
            if isinstance(first, PixelReader):
                self.pixel_readers[name] = first
                pixels.append(values)
                continue
            if isinstance(first, Vectorizer):
                self.vectorizers[name] = first
            self.chains[name] = chain
            numeric.append(values)
        inputs = _join(numeric, ids, pixels, len(frame))
        self.constant_numbers.fit(inputs.numeric, free=self.offsets)
        self.constant_ids.fit(inputs.ids)
        return inputs

    def _fit_block(self, derived: pl.DataFrame, name: str) -> tuple[FirstStep | None, Chain, Tensor]:
        first, steps = self._build_block(name, self.spec.blocks[name])
        if first is None:
            return None, *self._fit_chain(name, steps, self._read_columns(name, derived))
        try:
            first.fit(derived)
            values = _read(first, derived)
        except TreadleError as error:
            raise TreadleError(
                f"features.blocks.{name}.steps.{next(iter(self.spec.blocks[name].steps))}: {error}"
            ) from error
        if first.IS_LAST:
            return first, Chain(), values
        return first, *self._fit_chain(name, steps, values, columns=first.outputs)

    def _keep_block(self, derived: pl.DataFrame, name: str) -> tuple[FirstStep | None, Chain, Tensor]:
        """A block as it was fitted, with the values that it gives these rows."""
        firsts: dict[str, FirstStep] = {**self.encoders, **self.pixel_readers, **self.vectorizers}
        first = firsts.get(name)
        if first is not None:
            first.grow(derived)
        values = self._read_columns(name, derived) if first is None else _read(first, derived)
        if first is not None and first.IS_LAST:
            return first, Chain(), values
        chain, columns = self._list_chains()[name], self.list_inputs(name)
        for step in chain.steps.values():
            values, columns = overwrite(values, step=step), step.outputs
        return first, chain, _narrow_chain(name, chain, values, columns)

    def _fit_chain(
        self, name: str, steps: list[str], values: Tensor, *, columns: Sequence[str] | None = None
    ) -> tuple[Chain, Tensor]:
        chain = Chain()
        columns = self.spec.blocks[name].columns if columns is None else columns
        for step_name in steps:
            step = self._build_step(name, step_name, columns=columns)
            step.fit(values)
            values, columns = overwrite(values, step=step), step.outputs
            chain[step_name] = step
        return chain, _narrow_chain(name, chain, values, columns)

    @torch.no_grad()
    def forward(self, frame: pl.DataFrame) -> Inputs:
        """Tensors of the rows; what is missing, unknown or infinite has its declared place."""
        derived = self.derive(frame)
        numeric = (
            self._run_chains({name: self._read_block(name, part) for name in self.chains}, num_rows=len(part))
            for part in (derived[rows] for rows in split_rows(len(frame), num_columns=self._count_numbers(derived)))
        )
        ids = [encoder.encode(derived) for encoder in self.encoders.values()]
        return self._finish(stack_rows(numeric, num_rows=len(frame)), ids, self._read_pixels(derived))

    @torch.no_grad()
    def transform(self, numbers: Mapping[str, Tensor], ids: Tensor, pixels: Tensor) -> Inputs:
        """Tensors of rows whose expressions and ids are computed already, as a server does row by row.

        Args:
            numbers: `[B, n]` float64 of each block of numbers, by name; NaN where missing.
            ids: `[B, C]` of all blocks of ids.
            pixels: `[B, P]` of all blocks of images.
        """
        return self._finish(self._run_chains(numbers, num_rows=len(ids)), [ids], [pixels])

    @torch.no_grad()
    def read(self, frame: pl.DataFrame) -> Raw:
        """What `transform` takes, of rows: with its numbers split by block, it gives what the featurizer gives."""
        derived = self.derive(frame)
        numbers = [self._read_block(name, derived) for name in self.chains]
        ids = [encoder.encode(derived) for encoder in self.encoders.values()]
        joined = _join([], ids, self._read_pixels(derived), len(frame))
        return Raw(_put_beside(numbers, torch.empty(len(frame), 0).double()), joined.ids, joined.pixels)

    def _read_pixels(self, derived: pl.DataFrame) -> list[Tensor]:
        return [reader.read_pixels(derived) for reader in self.pixel_readers.values()]

    def split_numbers(self) -> dict[str, slice]:
        """The place of each block of numbers among the raw ones."""
        widths = [len(self.list_inputs(block)) for block in self._list_chains()]
        ends = list(accumulate(widths))
        return {b: slice(end - width, end) for b, width, end in zip(self._list_chains(), widths, ends, strict=True)}

    def _run_chains(self, numbers: Mapping[str, Tensor], *, num_rows: int) -> Tensor:
        parts = [narrow(chain(numbers[name])) for name, chain in self._list_chains().items()]
        return _put_beside(parts, torch.empty(num_rows, 0))

    def _finish(self, numeric: Tensor, ids: list[Tensor], pixels: list[Tensor]) -> Inputs:
        inputs = _join([numeric], ids, pixels, len(numeric))
        return Inputs(self.constant_numbers(inputs.numeric), self.constant_ids(inputs.ids), inputs.pixels)

    def _count_numbers(self, derived: pl.DataFrame) -> int:
        """The numbers of a row that are worked on."""
        return max([derived.width, *(len(vectorizer.outputs) for vectorizer in self.vectorizers.values())])

    def _read_block(self, name: str, derived: pl.DataFrame) -> Tensor:
        """`[B, n]` float64; null and infinite become NaN."""
        if name in self.vectorizers:
            return self.vectorizers[name].vectorize(derived)
        numbers = derived.select(self._list_numbers(name, derived.schema)).to_numpy(order="c", writable=True)
        return torch.from_numpy(numbers).reshape(len(derived), len(self.spec.blocks[name].columns))

    def _read_columns(self, name: str, derived: pl.DataFrame) -> Tensor:
        """The same with each column in one piece of memory: faster for reading column by column."""
        numbers = self._list_numbers(name, derived.schema)
        if len(numbers) * len(derived) <= COPIED_CELLS:
            return torch.from_numpy(derived.select(numbers).to_numpy(order="fortran", writable=True))
        values = torch.empty(len(numbers), len(derived), dtype=torch.float64)
        for place, number in enumerate(numbers):
            values[place] = torch.from_numpy(derived.select(number).to_series().to_numpy(writable=True))
        return values.T

    def _list_numbers(self, name: str, schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
        """The columns of a block as numbers.

        Raises:
            TreadleError: one is none.
        """
        columns = self.spec.blocks[name].columns
        for column in columns:
            dtype = schema[column]
            if not (dtype.is_numeric() or dtype in {pl.Boolean(), pl.Null()}):
                raise TreadleError(
                    f"features.blocks.{name}.columns: {column!r} is of type {dtype}, not a number; begin the block "
                    "with a Vocabulary or Hashing step, or derive a number from it"
                )
        return [_to_float(column, schema[column]) for column in columns]

    def derive(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns that the blocks take, derived ones included."""
        lazy = frame.lazy()
        for level in self._levels:
            schema = cache(lazy.collect_schema)
            lazy = lazy.with_columns(_read_expression(name, self.spec.derive[name], schema) for name in level)
        try:
            present = lazy.collect_schema().names()
            for key, column in self._list_columns():
                if column not in present:
                    raise TreadleError(f"{key}: no column {column!r}. {nearest(column, present)}")
            return lazy.select(list(dict.fromkeys(column for _, column in self._list_columns()))).collect()
        except PolarsError as error:
            reason = str(error).split("\n\n", 1)[0]
            raise TreadleError(f"features.derive: the expressions do not fit the columns: {reason}") from error

    def order_derived(self) -> list[str]:
        """The derived columns that the blocks need, each behind those that it reads."""
        needed = {column for _, column in self._list_columns()}
        for name in [name for level in reversed(self._levels) for name in level]:
            needed.update(list_columns(self.spec.derive[name]) if name in needed else [])
        return [name for level in self._levels for name in level if name in needed]

    def find_type(self, name: str, schema: Schema) -> pl.DataType:
        """The type of a derived column, of columns of these types."""
        rows = pl.LazyFrame(schema=schema)
        return rows.select(_read_expression(name, self.spec.derive[name], lambda: schema)).collect_schema()[name]

    def _list_chains(self) -> dict[str, Chain]:
        return cast("dict[str, Chain]", dict(self.chains.items()))

    def _list_columns(self) -> list[tuple[str, str]]:
        blocks = self.spec.blocks.items()
        return [(f"features.blocks.{name}.columns", column) for name, block in blocks for column in block.columns]

    # --- steps

    def _build_block(self, name: str, block: Block) -> tuple[FirstStep | None, list[str]]:
        """The block's first step if it reads values, and the names of its transforms."""
        names = list(block.steps)
        if not names:
            return None, names
        first = self._build_step(name, names[0], columns=block.columns)
        if isinstance(first, FirstStep) and first.IS_LAST and len(names) > 1:
            raise TreadleError(f"features.blocks.{name}.steps.{names[1]}: no step may follow {type(first).__name__}")
        return (first, names[1:]) if isinstance(first, FirstStep) else (None, names)

    def _build_step(self, block: str, step: str, *, columns: Sequence[str]) -> Any:
        key = f"features.blocks.{block}.steps.{step}"
        built = build(self.spec.blocks[block].steps[step], key=key, targets=self.targets, columns=list(columns))
        if not isinstance(built, Transform | Encoder | Vectorizer | PixelReader):
            kinds = "a Transform, an Encoder, a Vectorizer or a PixelReader"
            raise TreadleError(f"{key}: a step must be {kinds}, found {type(built).__name__}")
        return built

    # --- state

    def save(self, folder: Path) -> None:
        """Write what was learned: plain values to JSON, tensors beside it."""
        first_steps: dict[str, FirstStep] = {**self.encoders, **self.vectorizers, **self.pixel_readers}
        state = {
            "encoders": {name: first.get_state() for name, first in first_steps.items()},
            "columns": {
                name: {step: m.columns for step, m in c.steps.items()} for name, c in self._list_chains().items()
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
            for name, block in spec.blocks.items():
                featurizer._restore_block(name, block, state)
        tensors = read_tensors(folder / WEIGHTS_FILE)
        with _naming(folder / WEIGHTS_FILE):
            if set(tensors) != set(featurizer.state_dict()):
                raise TreadleError(f"must hold {sorted(featurizer.state_dict())}, found {sorted(tensors)}")
            featurizer.load_state_dict(tensors)
            for name, chain in featurizer._list_chains().items():
                _check_chain(chain, featurizer.list_inputs(name), key=f"features.blocks.{name}.steps")
            featurizer.constant_numbers.check_state(num_inputs=len(featurizer.numeric_names))
            featurizer.constant_ids.check_state(num_inputs=len(featurizer.id_names))
        return featurizer

    def _restore_block(self, name: str, block: Block, state: _State) -> None:
        first, steps = self._build_block(name, block)
        has_chain = first is None or not first.IS_LAST
        if (first is None) == (name in state.encoders) or has_chain != (name in state.columns):
            raise TreadleError(f"must hold the state of the block {name!r} where its kind has it, and nowhere else")
        if first is not None:
            first.set_state(state.encoders[name])
        if isinstance(first, Encoder):
            self.encoders[name] = first
            return
        if isinstance(first, PixelReader):
            self.pixel_readers[name] = first
            return
        if isinstance(first, Vectorizer):
            self.vectorizers[name] = first
        columns = state.columns[name]
        if list(columns) != steps:
            raise TreadleError(f"columns.{name}: must hold the columns of the steps {steps}")
        self.chains[name] = Chain({step: self._build_step(name, step, columns=columns[step]) for step in steps})


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


def _narrow_chain(name: str, chain: Chain, values: Tensor, columns: Sequence[str]) -> Tensor:
    """What a chain gives the training rows, as the network takes it.

    Raises:
        TreadleError: it holds missing values, or numbers that float32 cannot distinguish.
    """
    if chain.keeps_missing:
        return narrow(values)
    if values.sum().isnan() and values.isnan().any():  # the sum is faster
        raise TreadleError(f"features.blocks.{name}.steps: missing values remain; begin with an Impute step")
    narrowed = narrow(values)
    if lost := find_lost(values, narrowed):
        raise TreadleError(
            f"features.blocks.{name}.steps: the values of {columns[lost[0]]!r} are large beside what they differ "
            "by, and the network's float32 cannot distinguish them; end with a step that scales, such as "
            "Standardize"
        )
    return narrowed


def _check_chain(chain: Chain, columns: Sequence[str], *, key: str) -> None:
    """Each step takes what the one before gives, and has learned for as many columns."""
    for name, step in chain.steps.items():
        if step.columns != list(columns):
            raise TreadleError(f"{key}.{name}: its columns are not its inputs")
        try:
            step.check_state()
            columns = step.outputs
        except (ValueError, RuntimeError, IndexError) as error:
            raise TreadleError(f"{key}.{name}: {error}") from error


def _plan(derive: Mapping[str, str]) -> list[list[str]]:
    """Derived columns by what they need: none of a level reads another, so that the engine takes each level at once."""
    levels: dict[str, int] = {}
    for name, text in derive.items():
        levels[name] = 1 + max((levels.get(column, -1) for column in list_columns(text)), default=-1)
    return [[name for name in derive if levels[name] == level] for level in range(max(levels.values(), default=-1) + 1)]


def _read_expression(name: str, text: str, read_schema: Callable[[], Schema]) -> pl.Expr:
    try:
        return to_expr(text, read_schema).alias(name)
    except (PolarsError, TranslationError) as error:
        raise TreadleError(f"features.derive.{name}: {text!r} is not an SQL expression: {error}") from error


def _read(first: FirstStep, derived: pl.DataFrame) -> Tensor:
    """What a first step gives for rows, whatever its kind."""
    if isinstance(first, Encoder):
        return first.encode(derived)
    if isinstance(first, PixelReader):
        return first.read_pixels(derived)
    assert isinstance(first, Vectorizer), "there is no other kind"
    return first.vectorize(derived)


def _join(numeric: list[Tensor], ids: list[Tensor], pixels: list[Tensor], num_rows: int) -> Inputs:
    none = torch.empty(num_rows, 0)
    return Inputs(_put_beside(numeric, none), _put_beside(ids, none.long()), _put_beside(pixels, none.byte()))


def _put_beside(blocks: list[Tensor], none: Tensor) -> Tensor:
    return blocks[0] if len(blocks) == 1 else torch.cat([none, *blocks], dim=1)


def _to_float(column: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(column).cast(pl.Float64)
    if not (dtype.is_integer() or dtype in {pl.Boolean(), pl.Null()}):  # the others are always finite
        # Beyond the largest a number is missing, as an infinite one is; so is NaN, which Polars takes for larger still.
        value = pl.when(value.abs() <= LARGEST).then(value)
    return value.fill_null(float("nan"))
