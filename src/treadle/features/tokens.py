"""From texts to tokens: pieces of words, for a network that reads them in their order. Needs the extra `text`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.features.base import Encoder
from treadle.features.texts import read_texts
from treadle.schema import Count, TokenSpan

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN = "[PAD]", "[UNK]"  # ids 0 and 1
_BATCH = 1_024  # texts at a time


class Tokens(Encoder):
    """The first `length` tokens of each text, by a byte-pair encoding that is fitted to the training split.

    One tokenizer, in lower case, serves all columns of the block. Frequent words are one token, rare ones several. Id 0
    fills up a text that is shorter, or missing; 1 is a character that training did not hold.

    Args:
        columns: names of the input columns.
        vocabulary_size: the largest number of different tokens.
        length: tokens that are read of each text; the rest is left out.

    Source: "Neural Machine Translation of Rare Words with Subword Units", arXiv 1508.07909; library `tokenizers`.
    """

    TAKES: ClassVar[str] = "texts"
    LIBRARY: ClassVar[str] = "tokenizers"
    EXTRA: ClassVar[str] = "text"
    GIVES_TOKENS: ClassVar[bool] = True

    def __init__(self, *, columns: Sequence[str], vocabulary_size: Count, length: Count) -> None:
        super().__init__(columns=columns)
        self.vocabulary_size = vocabulary_size
        self.length = length
        self._tokenizer: Tokenizer | None = None

    @property
    def outputs(self) -> list[str]:
        """`column: token 1` and so on."""
        return [f"{column}: token {place}" for column in self.columns for place in range(1, self.length + 1)]

    @property
    def origins(self) -> list[int]:
        """Each column gives `length` tokens."""
        return [place for place in range(len(self.columns)) for _ in range(self.length)]

    @property
    def texts(self) -> list[TokenSpan]:
        """The tokens of a column stand together."""
        return [TokenSpan(place * self.length, self.length) for place in range(len(self.columns))]

    def cardinality(self, column: str) -> int:  # noqa: ARG002 - the same for each
        """The tokens that there are, with those of the ids 0 and 1."""
        return int(self._require_fitted().get_vocab_size())

    def fit(self, frame: pl.DataFrame) -> None:
        """Count pieces of words in all columns, and join the most frequent ones.

        Raises:
            TreadleError: a column holds no texts, or the extra `text` is not installed.
        """
        library = _import_tokenizers()
        tokenizer = library.Tokenizer(library.models.BPE(unk_token=UNKNOWN))
        tokenizer.normalizer = library.normalizers.Sequence(
            [library.normalizers.NFKC(), library.normalizers.Lowercase()]
        )
        tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
        trainer = library.trainers.BpeTrainer(
            vocab_size=self.vocabulary_size, special_tokens=[PAD, UNKNOWN], show_progress=False
        )
        texts = [text for column in self.columns for text in read_texts(frame, column).drop_nulls()]
        tokenizer.train_from_iterator(texts, trainer)
        self._tokenizer = tokenizer

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Ids of the tokens of the rows: `[B, columns * length]`, the columns one after the other."""
        tokenizer = self._require_fitted()
        ids = np.zeros((len(frame), len(self.columns), self.length), dtype=np.int64)
        for place, column in enumerate(self.columns):
            texts = read_texts(frame, column).fill_null("").to_list()
            for start in range(0, len(texts), _BATCH):
                found = tokenizer.encode_batch(texts[start : start + _BATCH], add_special_tokens=False)
                for row, encoding in enumerate(found, start=start):
                    tokens = encoding.ids[: self.length]
                    ids[row, place, : len(tokens)] = tokens
        return torch.from_numpy(ids.reshape(len(frame), len(self.columns) * self.length))

    def _require_fitted(self) -> Tokenizer:
        assert self._tokenizer is not None, "fit or set_state comes first"
        return self._tokenizer

    def list_words(self, column: str) -> list[str]:  # noqa: ARG002 - the same for each
        """The tokens, without the two that stand for none."""
        return sorted(self._require_fitted().get_vocab().keys() - {PAD, UNKNOWN})

    def get_state(self) -> dict[str, Any]:
        """The tokenizer, as its library writes it."""
        return {"tokenizer": json.loads(self._require_fitted().to_str())}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take a tokenizer as `get_state` gave it.

        Raises:
            TreadleError: it is none, or one that `fit` could not have made.
        """
        if set(state) != {"tokenizer"}:
            raise TreadleError(f"must hold a tokenizer, and nothing else; found {sorted(state)}")
        library = _import_tokenizers()
        try:
            tokenizer = library.Tokenizer.from_str(json.dumps(state["tokenizer"]))
        except Exception as error:  # the library raises no other class
            raise TreadleError(f"tokenizer: {error}") from error
        words = tokenizer.get_vocab()
        if sorted(words.values()) != list(range(len(words))) or [words.get(PAD), words.get(UNKNOWN)] != [0, 1]:
            raise TreadleError(f"tokenizer: its ids must be 0 ({PAD}), 1 ({UNKNOWN}) and the next ones, each once")
        self._tokenizer = tokenizer


def _import_tokenizers() -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would not outlive a fork of the process
    try:
        import tokenizers
    except ImportError as error:
        raise TreadleError("Tokens needs the library `tokenizers`: install treadle[text]") from error
    return tokenizers
