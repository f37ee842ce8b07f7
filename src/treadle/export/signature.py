"""What a graph takes and gives, for whoever calls it: `signature.json`."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from treadle.bundle import Bundle
from treadle.errors import TreadleError
from treadle.experiment.spec import Spec
from treadle.export.formats import FormatName
from treadle.export.graph import IDS, NUMBERS, PIXELS
from treadle.features.base import Encoder
from treadle.features.categories import Hashing, Vocabulary
from treadle.features.featurizer import Featurizer
from treadle.json_files import read_json, write_json
from treadle.schema import Task
from treadle.tasks import TRAITS
from treadle.validation import describe_first

FILE = "signature.json"


class NumberColumn(Spec):
    """A column of the input `numbers`: float64, NaN where missing."""

    name: str
    block: str  # of the features
    sql: str | None = None  # how it is derived from columns of a row; absent: it is one


class IdColumn(Spec):
    """A column of the input `ids`: int64, 0 where unknown or missing."""

    name: str
    block: str
    cardinality: int  # of the ids, 0 included
    encoder: str  # vocabulary: an id is a word's place from 1; hashing: 1 + hash modulo `buckets`; or a class
    sql: str | None = None
    words: list[str] | None = None  # of a vocabulary
    buckets: int | None = None  # of hashing: BLAKE2b of the UTF-8 text, 8 bytes, little-endian


class PixelColumn(Spec):
    """An image in the input `pixels`: uint8, `height * width * channels` of them by lines; 0 where it is missing."""

    name: str
    block: str  # of the features
    height: int
    width: int
    channels: int  # of a pixel, together: 1 gray, 3 red, green and blue


Column = Annotated[PixelColumn | IdColumn | NumberColumn, Field(union_mode="left_to_right")]


class Input(Spec):
    """One tensor `[rows, width]`: a number or an id for each column, all pixels of each image."""

    name: Literal["numbers", "ids", "pixels"]
    dtype: Literal["float64", "int64", "uint8"]
    columns: list[Column]

    @property
    def width(self) -> int:
        """Values of a row."""
        return sum(c.height * c.width * c.channels if isinstance(c, PixelColumn) else 1 for c in self.columns)


class Parity(Spec):
    """The comparison with the bundle."""

    rows: int
    largest_difference: float  # as a share of the value, of the target's deviation, or of 1
    allowed: float


class Signature(Spec):
    """Of an exported graph."""

    format: Literal[1] = 1  # of this file
    to: FormatName
    bundle: str  # its digest
    task: Task
    classes: list[str]  # of several, or labels, in the order of the output's columns
    columns: dict[str, str]  # of a row, with their types
    inputs: list[Input]
    levels: list[float] = Field(default=[], exclude_if=operator.not_)  # of quantiles, in the order of the columns
    thresholds: list[float] = Field(default=[], exclude_if=operator.not_)  # of labels: from which on each is predicted
    output: str  # probability or prediction: `[rows]`; of several classes, labels or quantiles `[rows, columns]`
    output_dtype: str
    libraries: dict[str, str]  # that wrote it
    parity: Parity

    @property
    def names(self) -> list[str]:
        """The inputs."""
        return [given.name for given in self.inputs]


def describe_inputs(featurizer: Featurizer) -> list[Input]:
    """The inputs that have columns."""
    numbers: list[Column] = list(_list_numbers(featurizer))
    ids: list[Column] = list(_list_ids(featurizer))
    images: list[Column] = list(_list_images(featurizer))
    made = [
        Input(name=NUMBERS, dtype="float64", columns=numbers),
        Input(name=IDS, dtype="int64", columns=ids),
        Input(name=PIXELS, dtype="uint8", columns=images),
    ]
    return [given for given in made if given.columns]


def _list_numbers(featurizer: Featurizer) -> Iterator[NumberColumn]:
    spec = featurizer.spec
    for block in featurizer.number_blocks.values():
        for name in block.inputs:  # of a step that reads texts, what it makes of them
            yield NumberColumn(name=name, sql=spec.derive.get(name), block=block.name)


def _list_ids(featurizer: Featurizer) -> Iterator[IdColumn]:
    derive = featurizer.spec.derive
    names: dict[type[Encoder], str] = {Vocabulary: "vocabulary", Hashing: "hashing"}
    for block, encoder in featurizer.encoders.items():
        kind = type(encoder)
        known = names.get(kind, f"{kind.__module__}.{kind.__qualname__}")
        for output, place in zip(encoder.outputs, encoder.origins, strict=True):
            name = encoder.columns[place]
            yield IdColumn(
                name=output,
                sql=derive.get(name),
                block=block,
                cardinality=encoder.cardinality(name),
                encoder=known,
                words=encoder.words[name] if isinstance(encoder, Vocabulary) else None,
                buckets=encoder.num_buckets if isinstance(encoder, Hashing) else None,
            )


def _list_images(featurizer: Featurizer) -> Iterator[PixelColumn]:
    for block, reader in featurizer.pixel_readers.items():
        for name, image in zip(reader.columns, reader.images, strict=True):
            size = {"height": image.height, "width": image.width, "channels": image.channels}
            yield PixelColumn(name=name, block=block, **size)


def save_signature(signature: Signature, folder: Path) -> None:
    """Write it."""
    write_json(signature.model_dump(mode="json", exclude_none=True), folder / FILE)


def read_signature(folder: Path) -> Signature:
    """What `save_signature` wrote.

    Raises:
        TreadleError: there is none, or it is none of ours.
    """
    values: Any = read_json(folder / FILE)
    try:
        return Signature.model_validate(values)
    except pydantic.ValidationError as error:
        raise TreadleError(f"{folder / FILE}: {describe_first(error)}; export it again") from error


def name_output(bundle: Bundle) -> str:
    """As `Predictor.predict` calls it."""
    if bundle.card.target.levels:
        return "quantiles"
    traits = TRAITS[bundle.task]
    return "probabilities" if traits.has_classes else traits.column
