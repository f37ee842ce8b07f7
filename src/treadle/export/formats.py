"""Formats of a graph on disk: how each is written, and how it is called again."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from treadle.errors import TreadleError
from treadle.export.decompositions import DECOMPOSITIONS
from treadle.export.graph import PredictionGraph
from treadle.onnx_runtime import import_runtime

FormatName = Literal["onnx", "pt2", "aoti"]
Call = Callable[[Sequence[Tensor]], Tensor]  # the inputs that the graph takes, in their order -> predictions

TRACED_ROWS = 7  # of the rows that the graph is traced with: torch takes 0 and 1 for constants


class Format(Protocol):
    """A format."""

    FILE: str  # within the folder
    EXAMPLE: str  # of the README: Python that sets `found` from `inputs`, arrays by name
    CAUTION: str  # its last words

    @staticmethod
    def require() -> None:
        """Check that this machine can write it.

        Raises:
            TreadleError: a package, or a compiler, is missing.
        """

    @staticmethod
    def write(program: ExportedProgram, file: Path, *, names: Sequence[str]) -> None:
        """Write the graph, whose inputs have these names."""

    @staticmethod
    def open(file: Path, *, names: Sequence[str]) -> Call:
        """What calls the graph in one thread, as a server does."""


class Onnx:
    """Open Neural Network Exchange: for ONNX Runtime, in any of its languages, and for other engines."""

    FILE = "model.onnx"
    EXAMPLE = """\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
(found,) = session.run(None, inputs)"""
    CAUTION = "A server sets intra_op_num_threads and inter_op_num_threads to 1: a row is too small to be shared."

    @staticmethod
    def require() -> None:
        """The extra `export`."""
        _require_packages("onnx", "onnxscript", "onnxruntime")

    @staticmethod
    def write(program: ExportedProgram, file: Path, *, names: Sequence[str]) -> None:
        """One file, the weights in it."""
        plain = program.run_decompositions(DECOMPOSITIONS)
        with _without_notices("torch.onnx"):
            made = torch.onnx.export(
                plain, input_names=list(names), output_names=["prediction"], dynamo=True, verbose=False
            )
            assert made is not None, "torch gives the model where no file is named"
            made.save(file, external_data=False)

    @staticmethod
    def open(file: Path, *, names: Sequence[str]) -> Call:
        """A session of ONNX Runtime on the processor: one thread, as more change the order of a sum."""
        _require_packages("onnxruntime")
        onnxruntime = import_runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

        def call(inputs: Sequence[Tensor]) -> Tensor:
            given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
            return torch.from_numpy(session.run(None, given)[0])

        return call


class Pt2:
    """A program of `torch.export`: for torch alone, without the code that made it."""

    FILE = "model.pt2"
    EXAMPLE = """\
import torch

program = torch.export.load("model.pt2").module()
found = program(*(torch.from_numpy(values) for values in inputs.values())).numpy()"""
    CAUTION = "It is a program: load only what you trust."

    @staticmethod
    def require() -> None:
        """Torch alone."""

    @staticmethod
    def write(program: ExportedProgram, file: Path, *, names: Sequence[str]) -> None:  # noqa: ARG004 - of the protocol
        """As torch saves it."""
        torch.export.save(program, file)

    @staticmethod
    def open(file: Path, *, names: Sequence[str]) -> Call:  # noqa: ARG004 - of the protocol
        """The program as a module."""
        module = torch.export.load(file).module()
        return lambda inputs: module(*inputs)


class Aoti:
    """Machine code of AOTInductor: for torch on processors like this machine's."""

    FILE = "compiled.pt2"
    EXAMPLE = """\
import torch

compiled = torch._inductor.aoti_load_package("compiled.pt2")
found = compiled(*(torch.from_numpy(values) for values in inputs.values())).numpy()"""
    CAUTION = (
        "It is machine code, for processors like that of the machine that compiled it and for its version of torch: "
        "load only what you trust."
    )

    @staticmethod
    def require() -> None:
        """A C++ compiler."""
        if not any(map(shutil.which, ("g++", "clang++", "c++"))):
            raise TreadleError("aoti: needs a C++ compiler, such as g++ or clang++; install one, or choose --to onnx")

    @staticmethod
    def write(program: ExportedProgram, file: Path, *, names: Sequence[str]) -> None:  # noqa: ARG004 - of the protocol
        """Compile it, which takes minutes."""
        from torch._inductor import aoti_compile_and_package

        aoti_compile_and_package(program, package_path=str(file))

    @staticmethod
    def open(file: Path, *, names: Sequence[str]) -> Call:  # noqa: ARG004 - of the protocol
        """Load the machine code."""
        from torch._inductor import aoti_load_package

        compiled = aoti_load_package(str(file))
        return lambda inputs: compiled(*inputs)


FORMATS: dict[FormatName, Format] = {"onnx": Onnx(), "pt2": Pt2(), "aoti": Aoti()}


@torch.no_grad()
def trace(graph: PredictionGraph, inputs: Sequence[Tensor]) -> ExportedProgram:
    """The graph for any number of rows.

    Args:
        graph: in evaluation mode.
        inputs: of `TRACED_ROWS` rows.

    Raises:
        TreadleError: a part of it, such as a transform of your own, cannot be traced.
    """
    graph(*inputs)  # what a transform finds out about its buffers once is then a constant
    shapes = {"inputs": tuple({0: Dim.DYNAMIC} for _ in inputs)}
    try:
        # Strict: else TabM is traced for this number of rows alone (torch 2.13).
        return torch.export.export(graph, tuple(inputs), dynamic_shapes=shapes, strict=True)
    except Exception as error:  # torch raises many kinds
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TreadleError(
            f"the model has no graph: torch.export cannot trace it: {reason[0]}\n"
            "  a module of your own may hold Python that depends on values; write it with tensors alone"
        ) from error


@contextmanager
def quietly() -> Iterator[None]:
    """Torch warns of its own deprecated calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _without_notices(name: str) -> Iterator[None]:
    """Of packages that nobody asked for, such as torchvision."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _require_packages(*names: str) -> None:
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise TreadleError(f"ONNX needs {name}, which is not installed: `pip install 'treadle[export]'`")
