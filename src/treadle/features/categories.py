"""From texts, or any values with few levels, to ids. 0 is "unknown or missing" everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor

from treadle.features.fitted import Encoder
from treadle.schema import Count
from treadle.threads import map_ahead


class Vocabulary(Encoder):
    """Every value that training holds at least `min_count` times gets an id, the most frequent first.

    Args:
        columns: names of the columns that come in.
        min_count: a value that is rarer in training counts as unknown [rows].
    """

    def __init__(self, *, columns: Sequence[str], min_count: Count) -> None:
        super().__init__(columns=columns)
        self.min_count = min_count
        self.words: dict[str, list[str]] = {}

    def fit(self, frame: pl.DataFrame) -> None:
        """Count the values of each column; ties in the order of the alphabet."""
        columns = map(frame.get_column, self.columns)
        self.words = dict(zip(self.columns, map_ahead(self._list_words, columns), strict=True))

    def _list_words(self, values: pl.Series) -> list[str]:
        counts = _as_text(values).drop_nulls().rename("word").value_counts()
        kept = counts.filter(pl.col("count") >= self.min_count).sort("count", "word", descending=[True, False])
        words: list[str] = kept["word"].to_list()
        return words

    def cardinality(self, column: str) -> int:
        """The words of the column and "unknown"."""
        return len(self.words[column]) + 1

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Ids of the rows: `[B, n]`; a value that training did not hold is 0."""
        return _encode(frame, self.columns, self._encode_column)

    def _encode_column(self, values: pl.Series) -> pl.Series:
        places = _as_text(values).cast(pl.Enum(self.words[values.name]), strict=False).to_physical()
        return (places.cast(pl.Int32) + 1).fill_null(0)

    def get_state(self) -> dict[str, Any]:
        """The words of each column, in the order of their ids."""
        return {"words": self.words}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take words as `get_state` gave them."""
        self.words = {column: list(words) for column, words in state["words"].items()}


class Hashing(Encoder):
    """Values share `num_buckets` ids by a hash: for columns with very many values. Missing is 0.

    The hash is BLAKE2b, so that ids are the same on every machine and in every version.

    Args:
        columns: names of the columns that come in.
        num_buckets: ids that the values share; two values may meet in one.
    """

    def __init__(self, *, columns: Sequence[str], num_buckets: Count) -> None:
        super().__init__(columns=columns)
        self.num_buckets = num_buckets

    def cardinality(self, column: str) -> int:  # noqa: ARG002 - the same for each
        """The buckets and "missing"."""
        return self.num_buckets + 1

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Ids of the rows: `[B, n]`."""
        return _encode(frame, self.columns, self._encode_column)

    def _encode_column(self, values: pl.Series) -> pl.Series:
        words = _as_text(values)
        known = words.drop_nulls().unique()
        ids = pl.Series([1 + _hash(word) % self.num_buckets for word in known], dtype=pl.Int64)
        return words.replace_strict(known, ids, default=0)


def _as_text(values: pl.Series) -> pl.Series:
    """Text of each value. A whole float reads like the integer: a column that gains a null becomes float."""
    if not values.dtype.is_float():
        return values.cast(pl.String)
    value = pl.col(values.name)
    finite = pl.when(value.is_finite()).then(value)
    text = (
        pl.when(finite == finite.floor()).then(finite.cast(pl.Int64).cast(pl.String)).otherwise(finite.cast(pl.String))
    )
    return values.to_frame().select(text.alias(values.name)).to_series()


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def _encode(frame: pl.DataFrame, columns: Sequence[str], encode: Callable[[pl.Series], pl.Series]) -> Tensor:
    """Ids `[B, n]` of columns that are encoded one by one."""
    ids = torch.empty(len(columns), len(frame), dtype=torch.int64)
    for place, encoded in enumerate(map(encode, map(frame.get_column, columns))):
        ids.numpy()[place] = encoded.to_numpy()
    return ids.T
