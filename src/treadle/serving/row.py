"""The row program: what Polars does with a row before the network, compiled to Python when a bundle is loaded.

A row takes Polars ten milliseconds, in fourteen queries of a few cells each. Expressions, vocabularies and hashes as
Python functions take a hundredth of a millisecond, and give the same inputs to the last bit: each program is compared
with Polars over made rows before it is used. A step that reads texts or images gets its own columns as a frame.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache, partial
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from treadle.bundle import Bundle
from treadle.experiment.spec import Column
from treadle.features.base import LARGEST, Encoder, FirstStep
from treadle.features.categories import Hashing, Vocabulary, read_text
from treadle.features.featurizer import Featurizer, Inputs, Raw
from treadle.images import make_noise
from treadle.serving.expressions import Cells, Function, UnknownError, compile_expression, find_kind
from treadle.serving.readers import list_types, to_frame
from treadle.serving.scalars import round_decimal

PROVED_ROWS = 256  # that a program is compared over when it is made
REMEMBERED = 1 << 16  # texts whose hash is kept

_SPREAD = 3_000  # of made numbers where a column has no bounds
_DAY = 86_400_000_000  # [µs]
_MOMENTS = (946_684_800_000_000, 1_893_456_000_000_000)  # 2000 to 2030 [µs]


class RowProgram:
    """Cells of conformed rows to the inputs of the model."""

    def __init__(self, bundle: Bundle) -> None:
        """Compile it, and compare it with Polars.

        Raises:
            UnknownError: the features hold what only Polars computes.
        """
        featurizer = bundle.featurizer
        self._featurizer = featurizer
        self._derived, types = _compile_derived(featurizer, list_types(bundle.columns))
        places = {name: place for place, name in enumerate(types)}
        blocks = featurizer.number_blocks
        plain = {name: block.columns for name, block in blocks.items() if block.first is None}
        self._numbers = [_take_number(places[c], types[c]) for columns in plain.values() for c in columns]
        self._widths = {name: len(columns) for name, columns in plain.items()}
        self._vectors = {n: _read_frames(b.first, places, types) for n, b in blocks.items() if b.first is not None}
        self._ids = list(_read_ids(featurizer.encoders.values(), places, types))
        self._pixels = [_read_frames(reader, places, types) for reader in featurizer.pixel_readers.values()]
        self._blocks = featurizer.split_numbers()
        _prove(self, bundle)

    def encode(self, rows: Sequence[Cells]) -> Inputs:
        """The inputs of conformed rows.

        Raises:
            ArithmeticError: a row has a value that only Polars computes.
            ValueError: likewise.
        """
        return self.transform(self.read(rows))

    def transform(self, raw: Raw) -> Inputs:
        """The inputs, of what the transforms take."""
        parts = {name: raw.numbers[:, place] for name, place in self._blocks.items()}
        return self._featurizer.transform(parts, raw.ids, raw.pixels)

    def read(self, rows: Sequence[Cells]) -> Raw:
        """What the transforms take.

        Raises:
            ArithmeticError: as `encode`.
            ValueError: likewise.
        """
        whole = [self._derive(cells) for cells in rows]
        numbers = np.array([[number(cells) for number in self._numbers] for cells in whole], dtype=np.float64)
        values = torch.from_numpy(numbers.reshape(len(rows), len(self._numbers)))
        if self._vectors:
            parts = dict(zip(self._widths, values.split(list(self._widths.values()), dim=1), strict=True))
            parts |= {name: vectorize(whole) for name, vectorize in self._vectors.items()}
            values = torch.cat([parts[name] for name in self._blocks], dim=1)
        ids = _join([read(whole) for read in self._ids], len(rows), torch.int64)
        return Raw(values, ids, _join([read(whole) for read in self._pixels], len(rows), torch.uint8))

    def _derive(self, cells: Cells) -> list[Any]:
        whole = list(cells)
        for function in self._derived:
            whole.append(function(whole))  # one may read those before it
        return whole


def _compile_derived(
    featurizer: Featurizer, types: Mapping[str, pl.DataType]
) -> tuple[list[Function], dict[str, pl.DataType]]:
    """The expressions in the order in which they may be computed, and the type of each column that there is then."""
    spec, known = featurizer.spec, dict(types)
    functions = []
    for name in featurizer.derived.order():
        if name in types:
            raise UnknownError(f"features.derive.{name}: it takes the place of a column")
        try:
            places = {column: place for place, column in enumerate(known)}
            functions.append(compile_expression(spec.derive[name], known, places))
        except UnknownError as error:
            raise UnknownError(f"features.derive.{name}: {error}") from error
        known[name] = featurizer.derived.find_type(name, known)
    return functions, known


def _take_number(place: int, dtype: pl.DataType) -> Callable[[Cells], float]:
    """A number as a network's chain takes it: NaN where it is missing, or too large."""
    kind = find_kind(dtype)

    def take_float(cells: Cells) -> float:
        value = cells[place]
        return value if value is not None and abs(value) <= LARGEST else math.nan

    def take_whole(cells: Cells) -> float:
        value = cells[place]
        return math.nan if value is None else float(value)

    def take_decimal(cells: Cells) -> float:
        value = cells[place]
        return math.nan if value is None else round_decimal(value)

    return {"float": take_float, "decimal": take_decimal}.get(kind, take_whole)


def _encode(place: int, dtype: pl.DataType, find: Callable[[str], int]) -> Callable[[Cells], int]:
    spell = _spell(dtype)

    def encode(cells: Cells) -> int:
        value = cells[place]
        text = None if value is None else spell(value)
        return 0 if text is None else find(text)

    return encode


def _read_ids(
    encoders: Iterable[Encoder], places: Mapping[str, int], types: Mapping[str, pl.DataType]
) -> Iterator[Callable[[Sequence[Cells]], Tensor]]:
    """Readers of the ids of rows, which stand beside each other: one for consecutive columns of categories."""
    for known, group in groupby(encoders, key=lambda encoder: type(encoder) in _FINDERS):
        if known:
            found = [_encode(places[c], types[c], _FINDERS[type(e)](e, c)) for e in group for c in e.columns]
            yield partial(_look_up, found)
        else:
            yield from (_read_frames(encoder, places, types) for encoder in group)


def _look_up(find: Sequence[Callable[[Cells], int]], rows: Sequence[Cells]) -> Tensor:
    ids = np.array([[each(cells) for each in find] for cells in rows], dtype=np.int64)
    return torch.from_numpy(ids.reshape(len(rows), len(find)))


def _join(parts: Sequence[Tensor], num_rows: int, dtype: torch.dtype) -> Tensor:
    """`[B, *]`, the columns of all parts; one part, which is the rule, is not copied."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([torch.empty(num_rows, 0, dtype=dtype), *parts], dim=1)


def _read_frames(
    step: FirstStep, places: Mapping[str, int], types: Mapping[str, pl.DataType]
) -> Callable[[Sequence[Cells]], Tensor]:
    """What a step reads of rows, given its columns as a frame."""
    wanted, schema = [places[column] for column in step.columns], {column: types[column] for column in step.columns}
    return lambda rows: step.read(to_frame([[cells[place] for place in wanted] for cells in rows], schema))


def _find_word(encoder: Vocabulary, column: str) -> Callable[[str], int]:
    ids = {word: place for place, word in enumerate(encoder.words[column], start=1)}
    return lambda text: ids.get(text, 0)


def _find_bucket(encoder: Hashing, column: str) -> Callable[[str], int]:  # noqa: ARG001 - the same for each
    return lru_cache(REMEMBERED)(encoder.hash_word)


# The id of a text, for encoders whose work is done without Polars.
_FINDERS: dict[type[Encoder], Callable[[Any, str], Callable[[str], int]]] = {
    Vocabulary: _find_word,
    Hashing: _find_bucket,
}


def _spell(dtype: pl.DataType) -> Callable[[Any], str | None]:
    """The text of a value, as encoders read it."""
    if dtype == pl.String() or dtype.is_integer():
        return str
    if dtype == pl.Boolean():
        return lambda value: "true" if value else "false"
    if dtype.is_decimal():
        raise UnknownError("a decimal as a category")
    return lru_cache(REMEMBERED)(lambda value: _spell_by_polars(value, dtype))


def _spell_by_polars(value: Any, dtype: pl.DataType) -> str | None:
    frame = to_frame([(value,)], {"value": dtype})
    text: str | None = frame.select(read_text(frame, "value")).item()
    return text


# --- proof --------------------------------------------------------------------------------------------


def _prove(program: RowProgram, bundle: Bundle) -> None:
    """Compare with Polars over made rows.

    Raises:
        UnknownError: the inputs differ in a bit.
    """
    types = list_types(bundle.columns)
    rows = list(make_rows(bundle, seed=0, count=PROVED_ROWS))
    try:
        found = program.encode(rows)
    except (ArithmeticError, ValueError) as error:
        raise UnknownError(f"a made row cannot be computed: {error}") from error
    wanted = bundle.featurizer(to_frame(rows, types))
    for name, ours, theirs in zip(Inputs._fields, found, wanted, strict=True):
        if not np.array_equal(ours.numpy(), theirs.numpy(), equal_nan=ours.is_floating_point()):
            raise UnknownError(f"the {name} inputs of made rows differ from those of Polars")


def make_rows(bundle: Bundle, *, seed: int, count: int) -> list[tuple[Any, ...]]:
    """Rows of cells that the contract allows, and some values that training did not hold."""
    draw = random.Random(seed)  # noqa: S311 - for a comparison, not for a secret
    words = _collect_words(bundle)
    makers = [make_cell(draw, column, words.get(name, [])) for name, column in bundle.columns.items()]
    return [tuple(make() for make in makers) for _ in range(count)]


def _collect_words(bundle: Bundle) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for step in (block.first for block in bundle.featurizer.blocks.values() if block.first is not None):
        for column in step.columns:
            words.setdefault(column, []).extend(step.list_words(column)[:1_000])
    return words


def make_cell(draw: random.Random, column: Column, words: Sequence[str]) -> Callable[[], Any]:
    """Draws cells of a column: one in ten is missing. Of images there is one alone: photos fill memory quickly."""
    make = _draw_by(draw, column, words)
    return lambda: None if draw.random() < 0.1 else make()  # noqa: PLR2004


def _draw_by(draw: random.Random, column: Column, words: Sequence[str]) -> Callable[[], Any]:
    low = column.min if isinstance(column.min, int | float) else -_SPREAD
    high = column.max if isinstance(column.max, int | float) else max(low, 0) + _SPREAD
    known = [*words, *(str(word) for word in column.allowed or []), "another"]
    makers: dict[str, Callable[[], Any]] = {
        "int": lambda: draw.randint(math.ceil(min(low, high)), math.floor(high)),
        "float": lambda: draw.choice([draw.uniform(low, high), round(draw.uniform(low, high), 1), 0.0]),
        "bool": lambda: draw.choice([True, False]),
        "str": lambda: draw.choice(known),
        "image": cache(
            lambda: make_noise(draw.randbytes, height=column.height, width=column.width, channels=column.channels)
        ),
        "text": lambda: " ".join(draw.choices(known, k=draw.randint(1, 9))),
        "date": lambda: draw.randint(*_MOMENTS) // _DAY,
        "datetime": lambda: draw.randint(*_MOMENTS),
        "time": lambda: draw.randrange(_DAY) * 1_000,
    }
    return makers[column.dtype]
