"""From texts to vectors, by an encoder that others trained and that stays as it is. Needs the extra `encoders`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.experiment.model_folders import digest_folder
from treadle.features.texts import read_texts
from treadle.features.vectors import ColumnVectors
from treadle.schema import Count

_OWN = "sentence_transformers."  # where the classes of the library are
_ROUTERS = ("_Router", "_Asym")  # ends of the folders that hold a router; Asym is its name of before


class SentenceEncoder(ColumnVectors):
    """The vector of each text, of length 1, by a model of the library `sentence-transformers`; on a GPU where one is.

    The stage `featurize` encodes each row of train and valid once, whatever is trained on it. A missing text is all
    zeros. The model is no part of a bundle, which names it, and refuses another one in its place.

    Args:
        columns: names of the input columns.
        model: a folder, relative to the project, or a name of the hub such as sentence-transformers/all-MiniLM-L6-v2.
        revision: the commit of a model of the hub. Of a folder the digest of its files: null takes those that are there
            when the experiment is composed.
        batch_size: texts that are encoded at once.

    Source: "Sentence-BERT", arXiv 1908.10084.
    """

    TAKES: ClassVar[str] = "texts"
    LIBRARY: ClassVar[str] = "sentence_transformers"
    EXTRA: ClassVar[str] = "encoders"
    MODEL_IS: ClassVar[str] = (
        "a folder or a name of the hub"  # by `model` and `revision`, which `treadle check` settles
    )

    def __init__(self, *, columns: Sequence[str], model: str, revision: str | None, batch_size: Count) -> None:
        super().__init__(columns=columns)
        self.model = model
        self.revision = revision
        self.batch_size = batch_size
        self.dim = 0

    def fit(self, frame: pl.DataFrame) -> None:  # noqa: ARG002 - it is trained already
        """Fetch the model, and find how long its vectors are.

        Raises:
            TreadleError: the model is not to be had, or is another one.
        """
        self.dim = len(_load_model(self.model, self.revision, fetch=True).encode(["a"], show_progress_bar=False)[0])

    def vectorize(self, frame: pl.DataFrame) -> Tensor:
        """Vectors of the rows: `[B, columns * dim]`."""
        return torch.from_numpy(np.hstack([self._encode(read_texts(frame, column)) for column in self.columns]))

    def _encode(self, texts: pl.Series) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        vectors = np.zeros((len(texts), self.dim))
        known = texts.drop_nulls().unique(maintain_order=True)
        if len(known):
            model = _load_model(self.model, self.revision, fetch=False)
            found = model.encode(
                known.to_list(), batch_size=self.batch_size, show_progress_bar=False, normalize_embeddings=True
            )
            there = texts.is_not_null().to_numpy()
            places = texts.drop_nulls().replace_strict(known, pl.Series(range(len(known)), dtype=pl.Int64))
            vectors[there] = found[places.to_numpy()]
        return vectors


def require_no_code(folder: Path) -> None:
    """Refuse a model whose parts are classes of others than the library: to load it would run their code.

    Raises:
        TreadleError: with the file and the class, or the file is not readable.
    """
    listed = [*folder.glob("modules.json"), *folder.rglob("router_config.json")]
    listed += [path for path in folder.glob("*/config.json") if path.parent.name.endswith(_ROUTERS)]
    for path in sorted(listed):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            # A list of modules, each with its `type`; or the parts between which a router chooses, by name.
            types = [module["type"] for module in found] if isinstance(found, list) else [*found["types"].values()]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TreadleError(f"{path} does not list the parts of a model: {error!r}") from error
        for name in types:
            if not str(name).startswith(_OWN):
                raise TreadleError(
                    f"{path}: a part of the model is {name!r}, code that is no part of sentence-transformers; "
                    "it is not run: take a model without code of its own"
                )


@lru_cache(maxsize=2)
def _load_model(model: str, revision: str | None, *, fetch: bool) -> Any:
    """The model, which is read once; without `fetch` nothing is downloaded, and in no case code of its own is run.

    Raises:
        TreadleError: it is not there, is another one, or brings code.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise TreadleError("SentenceEncoder needs sentence-transformers: install treadle[encoders]") from error
    folder = Path(model)
    if folder.is_dir():
        found = digest_folder(folder)
        if revision is not None and found != revision:
            raise TreadleError(
                f"the model in {model} is another one: its files have the digest {found}, not {revision}"
            )
        require_no_code(folder)
        return SentenceTransformer(str(folder), local_files_only=True)
    try:
        return SentenceTransformer(model, revision=revision, local_files_only=not fetch)
    except (OSError, ValueError) as error:
        place = "there is no such folder, and the hub does not give it" if fetch else "it is not on this machine"
        raise TreadleError(f"no model {model!r}, revision {revision}: {place}: {error}") from error
