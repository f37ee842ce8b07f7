"""From texts to numbers: how often each term of the vocabulary stands in a text, weighed by how rare it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.features.base import Vectorizer
from treadle.schema import Count

WORD = "\\w+(?:['\u2019]\\w+)*"  # of Unicode; an apostrophe inside belongs to it
_ROW, _TERM, _PLACE, _COUNT = "row", "term", "place", "count"


class TfIdf(Vectorizer):
    """TF-IDF: a number for each of the `max_terms` terms that most training rows hold; their squares add up to 1.

    A term is a word in lower case, or up to `max_words` consecutive ones. Its number is (1 + log(times in the text)) *
    (1 + log((1 + rows) / (1 + rows with the term))), before each text is scaled to length 1; as scikit-learn's
    TfidfVectorizer with `sublinear_tf`. A missing text, and one without a known term, is all zeros.

    Args:
        columns: names of the input columns, each of which has a vocabulary of its own.
        max_terms: the largest vocabulary of a column [terms].
        min_count: training rows that must hold a term [rows].
        max_words: words of the longest terms [words].
    """

    TAKES: ClassVar[str] = "texts"

    def __init__(self, *, columns: Sequence[str], max_terms: Count, min_count: Count, max_words: Count) -> None:
        super().__init__(columns=columns)
        self.max_terms = max_terms
        self.min_count = min_count
        self.max_words = max_words
        self.num_rows = 0  # of training
        self.terms: dict[str, dict[str, int]] = {}  # of each column: the training rows that hold each term

    @property
    def outputs(self) -> list[str]:
        """`column: term` for each term, those of the first column first."""
        return [f"{column}: {term}" for column in self.columns for term in self.terms[column]]

    @property
    def origins(self) -> list[int]:
        """A term comes from the column that holds it."""
        return [place for place, column in enumerate(self.columns) for _ in self.terms[column]]

    def fit(self, frame: pl.DataFrame) -> None:
        """Find the terms of each column; ties in the order of the alphabet.

        Raises:
            TreadleError: a column holds no term often enough.
        """
        self.num_rows = len(frame)
        for column in self.columns:
            rows = list_terms(read_words(frame, column), max_words=self.max_words)
            counts = rows.unique().group_by(_TERM).len(_COUNT).filter(pl.col(_COUNT) >= self.min_count)
            kept = counts.sort(_COUNT, _TERM, descending=[True, False]).head(self.max_terms)
            if kept.is_empty():
                raise TreadleError(
                    f"no word of the column {column!r} is in {self.min_count:,} or more training rows; "
                    "lower min_count, or leave the column out"
                )
            self.terms[column] = dict(kept.iter_rows())

    def vectorize(self, frame: pl.DataFrame) -> Tensor:
        """Weights of the terms of the rows: `[B, m]`."""
        return torch.from_numpy(np.hstack([self._weigh(frame, column) for column in self.columns]))

    def _weigh(self, frame: pl.DataFrame, column: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        known = list(self.terms[column])
        places = pl.Series(range(len(known)), dtype=pl.Int64)
        rows = list_terms(read_words(frame, column), max_words=self.max_words)
        found = rows.with_columns(pl.col(_TERM).replace_strict(known, places, default=None).alias(_PLACE))
        counts = found.drop_nulls(_PLACE).group_by(_ROW, _PLACE).len(_COUNT)
        row, place, count = (counts[name].to_numpy() for name in (_ROW, _PLACE, _COUNT))
        rarity = np.array([1 + math.log((1 + self.num_rows) / (1 + n)) for n in self.terms[column].values()])
        weights = np.zeros((len(frame), len(known)))
        weights[row, place] = (1 + np.log(count)) * rarity[place]
        length = np.sqrt(np.square(weights).sum(axis=1, keepdims=True))
        weights /= np.where(length > 0, length, 1)
        return weights

    def list_words(self, column: str) -> list[str]:
        """The terms of a column, the most frequent first."""
        return list(self.terms[column])

    def get_state(self) -> dict[str, Any]:
        """The rows of training, and how many of them hold each term of each column."""
        return {"num_rows": self.num_rows, "terms": self.terms}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take terms as `get_state` gave them.

        Raises:
            TreadleError: they are not a number of rows for each term of each column.
        """
        num_rows, terms = state.get("num_rows"), state.get("terms")
        if set(state) != {"num_rows", "terms"} or not isinstance(terms, dict) or list(terms) != self.columns:
            raise TreadleError(f"terms must be listed for {self.columns}, beside num_rows, and nothing else")
        if type(num_rows) is not int:
            raise TreadleError(f"num_rows must be a whole number, found {num_rows!r}")
        for column, counts in terms.items():
            if not isinstance(counts, dict) or not 0 < len(counts) <= self.max_terms:
                raise TreadleError(f"the terms of {column!r} must be from 1 to {self.max_terms:,}")
            if not all(type(count) is int and 0 < count <= num_rows for count in counts.values()):
                raise TreadleError(f"the terms of {column!r} must each be in 1 to {num_rows:,} rows")
        self.num_rows, self.terms = num_rows, terms


def read_words(frame: pl.DataFrame, column: str) -> pl.Series:
    """The words of each text, in lower case; a list that is empty where the text is missing."""
    texts = read_texts(frame, column)
    return texts.to_frame().select(pl.col(column).str.to_lowercase().str.extract_all(WORD).fill_null([])).to_series()


def read_texts(frame: pl.DataFrame, column: str) -> pl.Series:
    """The texts of a column.

    Raises:
        TreadleError: it holds no texts.
    """
    dtype = frame.schema[column]
    if dtype not in {pl.String(), pl.Null()}:
        raise TreadleError(f"{column!r} is of type {dtype}, not a text")
    return frame[column].cast(pl.String)


def list_terms(words: pl.Series, *, max_words: int) -> pl.DataFrame:
    """The terms of each text as they come: `row` from 0, and `term`."""
    single = pl.DataFrame({_ROW: pl.Series(range(len(words)), dtype=pl.Int64), _TERM: words}).explode(_TERM)
    single = single.drop_nulls(_TERM)
    longer = [_join_words(single, num_words) for num_words in range(2, max_words + 1)]
    return pl.concat([single, *longer])


def _join_words(single: pl.DataFrame, num_words: int) -> pl.DataFrame:
    """Each word with those after it in the same text."""
    words = [pl.col(_TERM).shift(-distance) for distance in range(num_words)]
    same = pl.col(_ROW) == pl.col(_ROW).shift(1 - num_words)
    return single.with_columns(pl.concat_str(words, separator=" ").alias(_TERM)).filter(same)
