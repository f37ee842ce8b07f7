"""Types and names that all rooms share: splits, columns, limits of arguments, and the batch of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Protocol, Self, runtime_checkable

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Task = Literal["binary", "multiclass", "multilabel", "regression", "count"]  # what a model answers
DataTask = Literal[Task, "forecast"]  # what an experiment declares
Link = Literal["identity", "log"]  # from the prediction of a value to the output of its model
Split = Literal["train", "valid", "test"]
Sampling = Literal["shuffle", "balanced"]  # every row once an epoch; each class as often as any other
Refit = Literal["none", "all"]  # of the weights, once the best epoch is known
StartOptimizer = Literal["anew", "continue"]  # where training starts from a bundle
UsableCode = Literal["same", "any"]  # with a bundle: that of its training alone, or what is installed
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
BINARY_CLASSES = ("negative", "positive")  # of a binary task, by target: 0 and 1

LABEL = "label"  # column of an examples table that holds the target
WEIGHT = "weight"  # column that holds the sample weight, where one is declared
SHARES = "label_shares"  # column of a training row that rules have labelled: the share of each class, by its name
PREDICT_AT = "predict_at"  # column of the prediction time
KNOWN_AT = "known_at"  # column of a table with a known time; null: the row never becomes known
STEP = "step"  # column of a forecast: how many periods after its origin a row is, from 1 on
MEDIAN = 0.5  # level of the quantile that is the prediction, where a model has several
ROW = "row"  # position of the example in its source table: the key of its prediction

# Limits of arguments, for the signatures of components; `treadle check` enforces them.
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]  # what NumPy, torch and LightGBM all take
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Part = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Batch(NamedTuple):
    """The input of a training step: B rows, N numeric features, C categorical features, P bytes of pixels."""

    numeric: Tensor  # [B, N] float32, finite
    ids: Tensor  # [B, C] int64; 0 is "unknown"
    target: (
        Tensor  # [B] float32 (binary or a value; float64 as it is stored, before it is scaled) or int64 (multiclass);
        # [B, L] float32 of L labels
    )
    weight: Tensor  # [B] float32
    pixels: Tensor  # [B, P] uint8; P is 0 where a row has no image

    @classmethod
    def of_numbers(cls, numeric: Tensor, ids: Tensor, target: Tensor, weight: Tensor) -> Self:
        """Rows without images."""
        return cls(numeric, ids, target, weight, make_no_pixels(ids))

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a network is called with."""
        return list_inputs(self.numeric, self.ids, self.pixels)

    @property
    def own(self) -> Batch:
        """Itself: of a mixed batch, the one with the rows' own targets."""
        return self


def make_no_pixels(ids: Tensor) -> Tensor:
    """`[B, 0]` uint8, beside ids `[B, C]` of rows without images."""
    return ids.new_empty(len(ids), 0).byte()


def list_inputs(numeric: Tensor, ids: Tensor, pixels: Tensor) -> tuple[Tensor, ...]:
    """What a network is called with: numbers and ids, and the pixels of a row's images where it has any."""
    return (numeric, ids, pixels) if pixels.shape[1] else (numeric, ids)


class TaughtBatch(NamedTuple):
    """The same, with what a teacher predicts for each row."""

    numeric: Tensor
    ids: Tensor
    target: Tensor
    weight: Tensor
    pixels: Tensor
    taught: Tensor  # [B] float32, a probability or a value on the scale of the targets; [B, K] for K classes or labels

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a network is called with."""
        return list_inputs(self.numeric, self.ids, self.pixels)


class TokenSpan(NamedTuple):
    """Where the tokens of one text are among the ids of a row, in their order; the rest of the span is 0."""

    start: int  # position of the first
    length: int  # of the longest text [tokens]
    vocabulary: int = 0  # number of the block whose tokens they are: texts of one block share their vocabulary


class ImageSpan(NamedTuple):
    """Where one image is among the pixels of a row: `height * width * channels` bytes, a pixel's channels together."""

    start: int  # position of the first
    height: int
    width: int
    channels: int  # 1: gray; 3: colours

    @property
    def stop(self) -> int:
        """Position after the last one."""
        return self.start + self.height * self.width * self.channels


class IdsBefore(NamedTuple):
    """Where the ids of one input come from, if a network goes on with other vocabularies."""

    places: Tensor  # [cardinality] int64: of each id the one before; a new word was unknown, 0
    cardinality: int  # before


@runtime_checkable
class HoldsIds(Protocol):
    """A part of a network with weights for each id."""

    def trace_ids(self, before: Sequence[IdsBefore]) -> dict[str, tuple[int, Tensor]]:
        """By name of such a parameter: its dimension of the ids, and for each place there the place before.

        Args:
            before: of each input of ids that the part sees.
        """


@runtime_checkable
class SelectsIds(Protocol):
    """A part of a network whose parts see some of its inputs of ids."""

    def select_ids(self, before: Sequence[IdsBefore]) -> list[IdsBefore]:
        """Those that its parts see."""


@runtime_checkable
class FitsInputs(Protocol):
    """A network with state that is fitted to the training rows before the first step, such as bin edges."""

    def fit_inputs(self, numeric: Tensor) -> None:
        """Fit to the numeric features `[M, N]` of the training rows."""
