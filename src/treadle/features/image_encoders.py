"""From images to vectors, by an encoder that others trained and that stays as it is. Needs `images` and `export`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from treadle.errors import TreadleError
from treadle.experiment.model_folders import digest_model
from treadle.features.images import read_contents
from treadle.features.vectors import ColumnVectors
from treadle.images import decode_all
from treadle.onnx_runtime import import_runtime
from treadle.schema import Count, Positive

Floats = NDArray[np.float32]
Encode = Callable[[Floats], Floats]  # `[B, channels, height, width] -> [B, dim]`
Shade = Annotated[float, Field(ge=0, le=1)]  # of a pixel, from black to white

_BRIGHTEST = 255.0  # of a byte
_WEIGHTS_PLACE = "session.model_external_initializers_file_folder_path"  # an option of ONNX Runtime
_OUTSIDE = "External data"  # what its errors call weights in other files


class ImageEncoder(ColumnVectors):
    """The vector of each image, by a model in the format ONNX, such as a network without its last layer.

    The stage `featurize` encodes each row of train and valid once, whatever is trained on it. The model takes
    `[B, channels, height, width]` floats; what it gives first for an image is its vector. A missing image is all zeros.
    The model is no part of a bundle, which names it, and refuses another one in its place.

    Args:
        columns: names of the input columns.
        model: a file with its weights inside, relative to the project.
        revision: the digest of the file; null takes the one that is there when the experiment is composed.
        height: of the images that the model sees [pixels].
        width: of the images that the model sees [pixels].
        channels: 1 for gray, 3 for colours.
        mean: what is subtracted of each channel of pixels between 0 and 1; one number, or one a channel.
        deviation: what they are then divided by; likewise.
        batch_size: images that are encoded at once.
    """

    TAKES: ClassVar[str] = "images"
    LIBRARY: ClassVar[str] = "onnxruntime"
    EXTRA: ClassVar[str] = "images,export"
    MODEL_IS: ClassVar[str] = "a file"

    def __init__(
        self,
        *,
        columns: Sequence[str],
        model: str,
        revision: str | None,
        height: Count,
        width: Count,
        channels: Literal[1, 3],
        mean: Sequence[Shade],
        deviation: Sequence[Positive],
        batch_size: Count,
    ) -> None:
        super().__init__(columns=columns)
        for name, numbers in (("mean", mean), ("deviation", deviation)):
            if len(numbers) not in {1, channels}:
                raise TreadleError(f"{name}: must list one number, or one for each of {channels}; found {len(numbers)}")
        self.model = model
        self.revision = revision
        self.size = {"height": height, "width": width, "channels": channels}
        self.mean = np.array(mean, dtype=np.float32)
        self.deviation = np.array(deviation, dtype=np.float32)
        self.batch_size = batch_size
        self.dim = 0

    def fit(self, frame: pl.DataFrame) -> None:  # noqa: ARG002 - it is trained already
        """Find how long its vectors are.

        Raises:
            TreadleError: the model is not there, is another one, or takes no such images.
        """
        self.dim = self._run(decode_all([None], **self.size)).shape[1]

    def vectorize(self, frame: pl.DataFrame) -> Tensor:
        """Vectors of the rows: `[B, columns * dim]`."""
        parts = [self._encode(read_contents(frame, column)) for column in self.columns]
        return torch.from_numpy(np.concatenate(parts, axis=1))

    def _encode(self, contents: Sequence[bytes | None]) -> NDArray[np.float64]:
        """A vector for each; that of an image which is there several times is made once."""
        distinct = list(dict.fromkeys(content for content in contents if content is not None))
        found = np.zeros((len(distinct) + 1, self.dim))  # the last one for those that are missing
        for start in range(0, len(distinct), self.batch_size):
            some = distinct[start : start + self.batch_size]
            found[start : start + len(some)] = self._run(decode_all(some, **self.size))
        places = {content: place for place, content in enumerate(distinct)}
        return found[[len(distinct) if content is None else places[content] for content in contents]]

    def _run(self, pixels: NDArray[np.uint8]) -> Floats:
        shades = pixels.reshape(-1, *self.size.values()).astype(np.float32) / np.float32(_BRIGHTEST)
        images = ((shades - self.mean) / self.deviation).transpose(0, 3, 1, 2)
        return _load_model(self.model, self.revision)(np.ascontiguousarray(images))


@lru_cache(maxsize=2)
def _load_model(model: str, revision: str | None) -> Encode:
    """What encodes images; the file is read once.

    Raises:
        TreadleError: as `_open_session`, or the model takes something else than images.
    """
    session = _open_session(model, revision)
    (name, *others) = [given.name for given in session.get_inputs()]
    if others:
        raise TreadleError(f"{model} takes {1 + len(others)} inputs; an encoder of images takes one")

    def encode(images: Floats) -> Floats:
        try:
            vectors: Floats = session.run(None, {name: images})[0]
        except Exception as error:  # the library raises many kinds
            shape = list(images.shape)
            raise TreadleError(f"{model} does not take images {shape}: {str(error).splitlines()[0]}") from error
        return vectors.reshape(len(images), -1)

    return encode


def _open_session(model: str, revision: str | None) -> Any:
    """A session of ONNX Runtime in one thread, as more change the order of a sum.

    Raises:
        TreadleError: the file is not there, is another one, or keeps its weights in other files.
    """
    try:
        onnxruntime = import_runtime()
    except ImportError as error:
        raise TreadleError("ImageEncoder needs onnxruntime: install treadle[export]") from error
    file = Path(model)
    if not file.is_file():
        raise TreadleError(f"no model {model!r}: there is no such file")
    found = digest_model(file)
    if revision is not None and found != revision:
        raise TreadleError(f"the model in {model} is another one: its digest is {found}, not {revision}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    # Weights in files beside it would be no part of its digest: they are looked for where no file can be.
    options.add_session_config_entry(_WEIGHTS_PLACE, str(file / "none"))
    try:
        return onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises many kinds
        told = str(error).splitlines()[0]
        if _OUTSIDE in told:
            rule = "an encoder is one file, which its digest identifies"
            raise TreadleError(
                f"{model} keeps weights in other files; {rule}: export it with its weights inside"
            ) from error
        raise TreadleError(f"{model} is no model that ONNX Runtime reads: {told}") from error
