"""The base of every fitted transform: input columns, output columns, state in buffers.

Numbers are float64 until the last transform has run: beside a large one (a moment in seconds, an identifier) float32
would lose the difference between rows. The network takes float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal, cast

import polars as pl
import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.schema import ImageSpan, TokenSpan

CELLS = 1 << 18  # numbers that are worked on at once: fresh memory costs more than the arithmetic
LARGEST = torch.finfo(torch.float32).max  # what the network's float32 holds
LOST_SHARE = 1e-3  # of a column's range, which the model's float32 may lose
ROUNDING = 2.0**-46  # a deviation that is so small a share of the mean is what float64 rounds, not what varies
COPIED_CELLS = 1 << 22  # numbers that may be in memory twice while columns are read

Part = Literal["numbers", "ids", "pixels"]  # of what the model sees of a row


class _Learned(nn.Module):
    """Keeps what it learned of the training split in buffers, so that it travels with the weights."""

    def learn(self, **state: Tensor) -> None:
        """Keep copies of learned tensors under their names."""
        for name, value in state.items():
            setattr(self, name, value.clone())  # a view of the rows would change with them

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        # The sizes of buffers come from the data, so they are taken from the saved state.
        for name in dict(self.named_buffers(recurse=False)):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *args)


class Transform(_Learned):
    """A step over numbers: `[B, n] -> [B, m]` float64, n = number of `columns`, m = number of `outputs`.

    NaN means "missing". The buffers of what `fit` learns are empty until then.
    """

    KEEPS_MISSING: ClassVar[bool] = False  # whether it is for models that take missing numbers
    FOR_NETWORKS: ClassVar[bool] = False  # whether models that take numbers as they are do without it
    OFFSET: ClassVar[bool] = False  # whether its outputs are added to the model's output, rather than read by it

    def __init__(self, *, columns: Sequence[str]) -> None:
        super().__init__()
        self.columns = list(columns)

    @property
    def outputs(self) -> list[str]:
        """Names of the output columns."""
        return self.columns

    @property
    def origins(self) -> list[int]:
        """Position of the column that each output comes from."""
        return list(range(len(self.columns)))

    def fit(self, values: Tensor) -> None:
        """Learn from the training split, `[B, n]` float64."""

    def check_state(self) -> None:
        """Check that learned tensors, read from a file, are what `fit` could have learned.

        Raises:
            TreadleError: it could not.
        """
        for name, value in self.named_buffers(recurse=False):
            if value.is_floating_point() and value.isnan().any():
                raise TreadleError(f"{name} holds NaN")


class Constants(_Learned):
    """Inputs that are constant in training keep that value for any row.

    The weights of such an input were not trained on any other value.
    """

    places: Tensor  # [h] positions of these inputs
    values: Tensor  # [h]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.empty(0, dtype=torch.int64))
        self.register_buffer("values", torch.empty(0))

    def fit(self, inputs: Tensor, *, free: Sequence[int] = ()) -> None:
        """Find them among the inputs `[B, n]` of the training rows, but for those that no weight is trained for."""
        first = inputs[0]
        is_constant = inputs.amin(dim=0) == inputs.amax(dim=0)
        is_constant[list(free)] = False
        places = is_constant.nonzero()[:, 0]
        self.learn(places=places, values=first[places])

    def check_state(self, *, num_inputs: int) -> None:
        """A number for each position, as `Transform.check_state`."""
        require_positions("places", self.places, below=num_inputs)
        if self.values.shape != self.places.shape or not self.values.isfinite().all():
            raise TreadleError(f"values must hold {len(self.places)} finite numbers")

    def forward(self, inputs: Tensor) -> Tensor:
        """`[B, n] -> [B, n]`, in place."""
        return inputs.index_copy_(1, self.places, self.values.expand(len(inputs), -1)) if len(self.places) else inputs


class Named(nn.ModuleDict):
    """Modules by names of the configuration: "type" and "keys" are as good as others, since none is an attribute."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Keep the module under any name without a dot."""
        assert module is not None, "a step is a module"
        self._modules[name] = module


class Chain(Named):
    """Transforms by name, in order; each takes the outputs of the one before."""

    @property
    def steps(self) -> dict[str, Transform]:
        """The transforms."""
        return cast("dict[str, Transform]", dict(self.items()))

    @property
    def keeps_missing(self) -> bool:
        """Whether what comes out may be missing."""
        return bool(len(self)) and list(self.steps.values())[-1].KEEPS_MISSING

    @property
    def is_offset(self) -> bool:
        """Whether what comes out is added to the model's output."""
        return any(step.OFFSET for step in self.steps.values())

    @property
    def outputs(self) -> list[str]:
        """Names of the output columns of the last one."""
        return list(self.steps.values())[-1].outputs if len(self) else []

    @property
    def origins(self) -> list[int]:
        """Position of the column of the first one that each output of the last one comes from.

        Raises:
            TreadleError: a transform has not as many origins as outputs.
        """
        found: list[int] | None = None
        for name, step in self.steps.items():
            if len(step.origins) != len(step.outputs):
                kind, given, wanted = type(step).__name__, len(step.origins), len(step.outputs)
                raise TreadleError(
                    f"{name}: {kind}.origins must hold a position for each of {wanted} outputs; found {given}"
                )
            found = step.origins if found is None else [found[position] for position in step.origins]
        return found or []

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, m]`."""
        for step in self.steps.values():
            values = step(values)
        return values


class FirstStep:
    """What a block may begin with: it reads the values of any column.

    It works on Polars, since texts cannot enter a tensor; its state is plain values in the bundle's JSON.
    """

    GIVES: ClassVar[Part]  # what it makes of values; steps may follow where these are numbers
    TAKES: ClassVar[str] = "categories"  # what it makes of a value; "texts": it reads the words

    def __init__(self, *, columns: Sequence[str]) -> None:
        self.columns = list(columns)

    @property
    def outputs(self) -> list[str]:
        """Names of what it gives for a row."""
        return self.columns

    @property
    def origins(self) -> list[int]:
        """Position of the column that each output comes from."""
        return list(range(len(self.columns)))

    def fit(self, frame: pl.DataFrame) -> None:
        """Learn from the training split."""

    def read(self, frame: pl.DataFrame) -> Tensor:
        """What it gives for the rows: `[B, m]`."""
        raise NotImplementedError

    def grow(self, frame: pl.DataFrame) -> None:
        """Learn further values of these rows, so that nothing of before changes; here: there is nothing to learn."""

    def list_words(self, column: str) -> list[str]:  # noqa: ARG002 - of those that learn words
        """Values of a column, or words in them, that training held."""
        return []

    def get_state(self) -> dict[str, Any]:
        """Plain values that `set_state` takes."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take what `get_state` gave.

        Raises:
            TreadleError: the state is none of its own; here: it holds anything.
        """
        if state:
            raise TreadleError(f"{type(self).__name__} learns nothing, found {sorted(state)}")


class Encoder(FirstStep):
    """A first step from values to ids: `[B] values -> [B, m] ids`; 0 is "unknown or missing". No step follows it."""

    GIVES: ClassVar[Part] = "ids"

    @property
    def texts(self) -> list[TokenSpan]:
        """Which of its outputs are the tokens of one text, for each text; an id of a category is none."""
        return []

    def cardinality(self, column: str) -> int:
        """Number of different ids, 0 included, of each output of a column."""
        raise NotImplementedError

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Ids of the rows: `[B, m]` int64."""
        raise NotImplementedError

    def read(self, frame: pl.DataFrame) -> Tensor:
        """The ids."""
        return self.encode(frame)

    def trace(self, column: str, *, before: Encoder) -> list[int]:
        """For each id of a column the id that another one gave to the same value; here: the same, or it is none.

        Raises:
            TreadleError: that cannot be told.
        """
        if type(self) is not type(before) or self.get_state() != before.get_state():
            raise TreadleError("its ids stand for other values")
        if self.cardinality(column) != before.cardinality(column):
            raise TreadleError(f"it had {before.cardinality(column)} ids, and has {self.cardinality(column)}")
        return list(range(self.cardinality(column)))


class Vectorizer(FirstStep):
    """A first step from values to numbers: `[B] values -> [B, m]`. The transforms that follow take these numbers."""

    GIVES: ClassVar[Part] = "numbers"

    def vectorize(self, frame: pl.DataFrame) -> Tensor:
        """Numbers of the rows: `[B, m]` float64, none of them missing."""
        raise NotImplementedError

    def read(self, frame: pl.DataFrame) -> Tensor:
        """The numbers."""
        return self.vectorize(frame)


class PixelReader(FirstStep):
    """A first step from images to pixels: `[B] files -> [B, P]` bytes. No step follows it."""

    TAKES: ClassVar[str] = "images"
    GIVES: ClassVar[Part] = "pixels"

    @property
    def images(self) -> list[ImageSpan]:
        """Where the image of each column is among the pixels."""
        raise NotImplementedError

    def read_pixels(self, frame: pl.DataFrame) -> Tensor:
        """Pixels of the rows: `[B, P]` uint8; those of a missing image are 0."""
        raise NotImplementedError

    def read(self, frame: pl.DataFrame) -> Tensor:
        """The pixels."""
        return self.read_pixels(frame)


def require_numbers(name: str, found: Tensor, *, shape: Sequence[int]) -> None:
    """A learned tensor holds finite numbers, in this shape.

    Raises:
        TreadleError: it does not.
    """
    if list(found.shape) != list(shape) or not found.is_floating_point():
        kind = str(found.dtype).removeprefix("torch.")
        raise TreadleError(f"{name} must hold {list(shape)} floats, found {list(found.shape)} of {kind}")
    if not found.isfinite().all():
        raise TreadleError(f"{name} holds what is no finite number")


def require_positions(name: str, found: Tensor, *, below: int) -> None:
    """A learned tensor holds ascending positions of columns.

    Raises:
        TreadleError: it does not.
    """
    if found.dtype != torch.int64 or found.dim() != 1 or (found.diff() < 0).any():
        raise TreadleError(f"{name} must hold ascending positions")
    if len(found) and not 0 <= int(found[0]) <= int(found[-1]) < below:
        raise TreadleError(
            f"{name} must hold positions from 0 to {below - 1}, found {int(found[0])} to {int(found[-1])}"
        )


def split_rows(num_rows: int, *, num_columns: int, cells: int = CELLS) -> Iterator[slice]:
    """Consecutive rows, so many numbers at a time; one empty slice where there are no rows."""
    step = max(1, cells // max(1, num_columns))
    return (slice(start, min(start + step, num_rows)) for start in range(0, max(1, num_rows), step))


def stack_rows(parts: Iterable[Tensor], *, num_rows: int, into: Tensor | None = None) -> Tensor:
    """Consecutive parts `[b, m]` as one tensor `[num_rows, m]`.

    Args:
        parts: at least one.
        num_rows: of all parts.
        into: memory to reuse where shape and type fit.
    """
    rest = iter(parts)
    first = next(rest)
    if len(first) == num_rows:
        return first
    fits = into is not None and (into.shape[1:], into.dtype) == (first.shape[1:], first.dtype)
    stacked = into if into is not None and fits else first.new_empty(num_rows, *first.shape[1:])
    start = 0
    for part in chain([first], rest):
        stacked[start : start + len(part)] = part
        start += len(part)
    return stacked


def find_lost(values: Tensor, narrowed: Tensor) -> list[int]:
    """The columns of which float32 loses more than a thousandth of the range; none of `values` is missing."""
    low, high = values.aminmax(dim=0)
    spread = (high - low) * LOST_SHARE
    doubtful = torch.maximum(low.abs(), high.abs()) * torch.finfo(torch.float32).eps > spread
    places = (doubtful & (spread > 0)).nonzero()[:, 0].tolist()
    return [place for place in places if (values[:, place] - narrowed[:, place]).abs().max() > spread[place]]


def narrow(values: Tensor) -> Tensor:
    """The numbers as the network takes them: float32, and no infinity where one is beyond its range."""
    return values.clamp(-LARGEST, LARGEST).float()


@torch.no_grad()
def overwrite(values: Tensor, *, step: Transform) -> Tensor:
    """`step(values)`, some rows at a time, in the memory of `values` where the step keeps the number of columns."""
    parts = (step(values[rows]) for rows in split_rows(len(values), num_columns=values.shape[1]))
    return stack_rows(parts, num_rows=len(values), into=values)
