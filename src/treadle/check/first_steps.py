"""Steps of the features against the types of their columns: what reads values comes first, and reads its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from treadle.experiment.model_folders import digest_model
from treadle.experiment.modules import find_module
from treadle.experiment.spec import Block, Experiment, Features
from treadle.problems import Problem
from treadle.targets.readers import find_reader
from treadle.targets.signatures import read_constant, takes_argument

_OF_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NUMBERS = ("int", "float", "bool", "null")
_FILE = "a file"  # what some steps name as their model
_WHOLE_VALUES = "categories"  # what a step takes that looks for each value as it is
_KINDS = {"text": "texts", "image": "images"}  # what steps take that read the values of a type, not look for them
_FIRST = {"texts": "TfIdf", "images": "Pixels"}  # a step that takes them
_ALSO = {"texts": ("str", "null"), "images": ("null",)}  # further types that such a step takes


class _Reading(NamedTuple):
    """What networks read that a step gives for them alone."""

    constant: tuple[str, Any]  # of such a step, with its value
    given: str  # in words
    model: str  # a network that reads it
    step: str  # a step that gives it
    other: str  # one that gives numbers instead


_READINGS = {  # by the argument of a network that reads them
    "texts": _Reading(("GIVES_TOKENS", True), "tokens of texts", "text_transformer", "tokens.Tokens", "TfIdf"),
    "images": _Reading(("GIVES", "pixels"), "pixels of images", "image_resnet", "images.Pixels", "ImageEncoder"),
}


def find_misfit(column: str, dtype: str, block: Block, *, key: str) -> Iterator[Problem]:
    """The type of a column that the first step of its block does not take.

    Args:
        column: its name.
        dtype: its type, by its name in contracts.
        block: that lists it.
        key: of the column there.
    """
    first = next(iter(block.steps.values()), None)
    name = _name(first) if first is not None else "a block without steps"
    takes = read_constant(first["_target_"], "TAKES") if first is not None and reads_values(first) else None
    kind = _KINDS.get(dtype, _WHOLE_VALUES)
    if takes is None and dtype not in _NUMBERS and (first is None or _is_transform(first)):
        fix = "let its block begin with Vocabulary or Hashing, or derive a number from it"
        if kind != _WHOLE_VALUES:
            fix = f"let its block begin with a step that takes {kind}, such as {_FIRST[kind]}"
        yield Problem(key, f"{column!r} is {dtype}, and {name} takes numbers", fix)
    elif takes == _WHOLE_VALUES and kind != _WHOLE_VALUES:
        fix = f"let its block begin with a step that takes {kind}, such as {_FIRST[kind]}"
        fix += "; or declare it as str" if dtype == "text" else ""
        yield Problem(key, f"{column!r} is {dtype}, and {name} takes each value as a category", fix)
    elif takes in _FIRST and takes != kind and dtype not in _ALSO[takes]:
        yield Problem(key, f"{column!r} is {dtype}, and {name} takes {takes}", "list it in another block")


def check_order(name: str, block: Block) -> Iterator[Problem]:
    """A step that reads values is the first, and nothing follows one that gives no numbers."""
    steps = list(block.steps.items())
    for index, (step, node) in enumerate(steps):
        if index > 0 and reads_values(node):
            yield Problem(_place(name, step), f"{_name(node)} must be the first step: it encodes raw values")
        elif index == 0 and len(steps) > 1 and is_last(node):
            yield Problem(_place(name, steps[1][0]), f"no step may follow {_name(node)}")


def check_readings(experiment: Experiment) -> Iterator[Problem]:
    """Tokens and pixels are for a network that reads them, and such a network needs some."""
    if not isinstance(experiment.model, dict):
        return
    path = find_reader(experiment.network)["_target_"]
    steps = list(_list_steps(experiment.features))
    for name, reading in _READINGS.items():
        constant, value = reading.constant
        given = [key for key, node in steps if read_constant(node["_target_"], constant) == value]
        if given and not takes_argument(path, name):
            fix = f"add model={reading.model}, or begin the block with {reading.other}"
            yield Problem(given[0], f"{path} does not read the {reading.given}", fix)
        elif not given and read_constant(path, "READS") == name:
            fix = f"begin a block with treadle.features.{reading.step}, or choose another model"
            yield Problem("model._target_", f"no block of features gives the {reading.given} to read", fix)


def check_libraries(experiment: Experiment) -> Iterator[Problem]:
    """Libraries of steps that are an extra."""
    for key, node in _list_steps(experiment.features):
        library, extra = (read_constant(node["_target_"], constant) for constant in ("LIBRARY", "EXTRA"))
        if library is not None and find_module(library) is None:
            rule = f"{_name(node)} needs the library {library}, which is not installed"
            yield Problem(f"{key}._target_", rule, f"`pip install 'treadle[{extra}]'`, or choose another step")


def check_models(experiment: Experiment, *, root: Path) -> Iterator[Problem]:
    """Models that steps name: a file or a folder with what it held, or a commit of the hub."""
    for key, node in _list_models(experiment.features):
        model, revision = str(node.get("model")), node.get("revision")
        takes_file = read_constant(node["_target_"], "MODEL_IS") == _FILE
        if _is_there(node, root=root):
            found = digest_model(root / model)
            if revision is not None and revision != found:
                what = f"{model!r} is another one now" if takes_file else f"the files in {model!r} are others now"
                rule = f"{what}, with the digest {found}; found {revision}"
                yield Problem(f"{key}.revision", rule, "set it to null, to take what is there")
        elif takes_file:
            yield Problem(f"{key}.model", f"no file {model!r}", "name a file of the project that holds the model")
        elif not _OF_HUB.fullmatch(model):
            rule = f"no folder {model!r}, and no name of the hub such as sentence-transformers/all-MiniLM-L6-v2"
            yield Problem(f"{key}.model", rule, "name a folder of the project that holds the model's files")
        elif revision is None or not _COMMIT.fullmatch(str(revision)):
            rule = f"{model!r} is a model of the hub, whose files may change: must be a commit, found {revision}"
            yield Problem(f"{key}.revision", rule, "copy the 40 digits from the page of its files")


def settle_models(experiment: Experiment, *, root: Path) -> Experiment:
    """The digest of each file or folder that a step names: with another content, it is another run."""
    features = experiment.features
    present = {key: node for key, node in _list_models(features) if _is_there(node, root=root)}
    found = {key: digest_model(root / str(node["model"])) for key, node in present.items()}
    if not found:
        return experiment
    blocks = {
        name: block.model_copy(
            update={
                "steps": {
                    step: {**node, "revision": found[key]} if (key := _place(name, step)) in found else node
                    for step, node in block.steps.items()
                }
            }
        )
        for name, block in features.blocks.items()
    }
    return experiment.model_copy(update={"features": features.model_copy(update={"blocks": blocks})})


def _list_models(features: Features) -> list[tuple[str, dict[str, Any]]]:
    """The steps that name a model."""
    steps = _list_steps(features)
    return [(key, node) for key, node in steps if read_constant(node["_target_"], "MODEL_IS") is not None]


def _is_there(node: Mapping[str, Any], *, root: Path) -> bool:
    """Whether the model that a step names is a file, or a folder, of the project."""
    place = root / str(node.get("model"))
    return place.is_file() if read_constant(node["_target_"], "MODEL_IS") == _FILE else place.is_dir()


def _list_steps(features: Features) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, block in features.blocks.items():
        for step, node in block.steps.items():
            yield _place(name, step), node


def _place(block: str, step: str) -> str:
    return f"features.blocks.{block}.steps.{step}"


def reads_values(node: Mapping[str, Any]) -> bool:
    """Whether a step reads the values of columns, rather than the numbers of the step before."""
    return read_constant(node["_target_"], "GIVES") is not None


def is_last(node: Mapping[str, Any]) -> bool:
    """Whether no step may follow: what it gives are no numbers."""
    return read_constant(node["_target_"], "GIVES") not in {None, "numbers"}


def _is_transform(node: Mapping[str, Any]) -> bool:
    """Whether a step is known to take numbers; a user's own may take any type."""
    return read_constant(node["_target_"], "KEEPS_MISSING") is not None


def _name(node: Mapping[str, Any]) -> str:
    target = str(node["_target_"])
    return target.rpartition(".")[2] if target.startswith("treadle.features.") else target
