"""From texts, or any values with few levels, to ids. 0 is "unknown or missing" everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.features.base import COPIED_CELLS, Encoder, split_rows
from treadle.schema import Count
from treadle.threads import map_ahead


class Vocabulary(Encoder):
    """Every value that training holds at least `min_count` times gets an id, the most frequent first.

    Args:
        columns: names of the input columns.
        min_count: a value that is rarer in training counts as unknown [rows].
    """

    def __init__(self, *, columns: Sequence[str], min_count: Count) -> None:
        super().__init__(columns=columns)
        self.min_count = min_count
        self.words: dict[str, list[str]] = {}

    def fit(self, frame: pl.DataFrame) -> None:
        """Count the values of each column; ties in the order of the alphabet."""
        texts = frame.select(read_text(frame, column) for column in self.columns)
        self.words = dict(zip(self.columns, map_ahead(self._list_words, texts), strict=True))

    def _list_words(self, texts: pl.Series) -> list[str]:
        counts = texts.drop_nulls().rename("word").value_counts()
        kept = counts.filter(pl.col("count") >= self.min_count).sort("count", "word", descending=[True, False])
        words: list[str] = kept["word"].to_list()
        return words

    def cardinality(self, column: str) -> int:
        """The words of the column and "unknown"."""
        return len(self.words[column]) + 1

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Ids of the rows: `[B, n]`; a value that training did not hold is 0."""
        texts = {column: read_text(frame, column) for column in self.columns}
        places = (text.cast(pl.Enum(self.words[column]), strict=False).to_physical() for column, text in texts.items())
        return _encode(frame, [(place.cast(pl.Int64) + 1).fill_null(0) for place in places])

    def grow(self, frame: pl.DataFrame) -> None:
        """Add the words that these rows hold often enough, behind those that are known."""
        known = self.words
        self.fit(frame)
        self.words = {column: list(dict.fromkeys([*known[column], *self.words[column]])) for column in self.columns}

    def trace(self, column: str, *, before: Encoder) -> list[int]:
        """By the words: one that is new was unknown."""
        if not isinstance(before, Vocabulary):
            return super().trace(column, before=before)
        places = {word: place for place, word in enumerate(before.words[column], start=1)}
        return [0, *(places.get(word, 0) for word in self.words[column])]

    def list_words(self, column: str) -> list[str]:
        """The words of a column, the most frequent first; words that were added come later."""
        return self.words[column]

    def get_state(self) -> dict[str, Any]:
        """The words of each column, in the order of their ids."""
        return {"words": self.words}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take words as `get_state` gave them.

        Raises:
            TreadleError: they are not a list of different texts for each column.
        """
        words = state.get("words")
        if set(state) != {"words"} or not isinstance(words, dict) or list(words) != self.columns:
            raise TreadleError(f"words must be listed for {self.columns}, and nothing else")
        for column, listed in words.items():
            if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
                raise TreadleError(f"the words of {column!r} must be texts")
            if len(set(listed)) < len(listed):
                raise TreadleError(f"the words of {column!r} hold one twice")
        self.words = words


class Hashing(Encoder):
    """The hashing trick: `num_buckets` ids, for columns with very many values. Missing is 0.

    The hash is BLAKE2b, so that ids are the same on every machine and in every version.

    Args:
        columns: names of the input columns.
        num_buckets: number of hash buckets; values in the same bucket share an id.
    """

    def __init__(self, *, columns: Sequence[str], num_buckets: Count) -> None:
        super().__init__(columns=columns)
        self.num_buckets = num_buckets

    def cardinality(self, column: str) -> int:  # noqa: ARG002 - the same for each
        """The buckets and "missing"."""
        return self.num_buckets + 1

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Ids of the rows: `[B, n]`."""
        texts = (read_text(frame, column) for column in self.columns)
        return _encode(frame, [text.map_batches(self._hash_words, return_dtype=pl.Int64) for text in texts])

    def _hash_words(self, texts: pl.Series) -> pl.Series:
        known = texts.drop_nulls().unique()
        ids = pl.Series([self.hash_word(word) for word in known], dtype=pl.Int64)
        return texts.replace_strict(known, ids, default=0)

    def hash_word(self, word: str) -> int:
        """The id of a text."""
        return 1 + _hash(word) % self.num_buckets


def read_text(frame: pl.DataFrame, column: str) -> pl.Expr:
    """Text of each value. A whole float reads like the integer: a column that gains a null becomes float."""
    value = pl.col(column)
    if not frame.schema[column].is_float():
        return value.cast(pl.String)
    finite = pl.when(value.is_finite()).then(value)
    whole = pl.when(finite == finite.floor()).then(finite.cast(pl.Int64, strict=False))  # null beyond its range
    return whole.cast(pl.String).fill_null(finite.cast(pl.String)).alias(column)


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def _encode(frame: pl.DataFrame, ids: Sequence[pl.Expr]) -> Tensor:
    """The ids of the rows, `[B, n]`; Polars works on the columns side by side."""
    encoded = torch.empty(len(ids), len(frame), dtype=torch.int64)
    for rows in split_rows(len(frame), num_columns=len(ids), cells=COPIED_CELLS):
        for place, values in enumerate(frame[rows].select(ids)):
            encoded.numpy()[place, rows] = values.to_numpy()
    return encoded.T
