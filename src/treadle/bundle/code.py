"""The code that a prediction needs: recorded in training, compared with the installed code when a bundle is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from treadle.bundle.card import Recipe
from treadle.errors import TreadleError
from treadle.experiment.fingerprint import fingerprint_again, fingerprint_modules
from treadle.experiment.libraries import list_code
from treadle.experiment.modules import TREADLE, find_module
from treadle.keys import find_targets
from treadle.targets.signatures import read_constant

_PREDICTING = ("treadle.bundle.conform", "treadle.features.featurizer")  # what a row goes through before the network
# Of Treadle's own code what computes numbers; an edit elsewhere leaves a prediction as it is.
_COMPUTING = (
    "treadle.models.",
    "treadle.features.",
    *(f"treadle.data.{name}" for name in ("casting", "datetime_formats", "number_formats")),
    *(f"treadle.sql.{name}" for name in ("dialect", "expressions", "functions", "translate", "types")),
)


def fingerprint_code(recipe: Recipe) -> dict[str, str]:
    """A hash for each module of the project's code that network and features need, and of Treadle's that computes.

    Of an installed library that is a target, its name and version.
    """
    found = fingerprint_modules([*_list_modules(recipe), *_PREDICTING])
    return {name: known for name, known in sorted(found.items()) if _decides(name)}


def require_same_code(code: Mapping[str, str], recipe: Recipe) -> None:
    """Refuse code that differs from that of the training: its predictions may differ.

    Raises:
        TreadleError: it differs, is not installed, or the bundle does not record it.
    """
    recorded = {*code, *(name for name in _list_modules(recipe) if name.partition(".")[0] in code)}
    unrecorded = [name for name in _list_modules(recipe) if name not in recorded and _has_identity(name)]
    differing = [name for name, known in code.items() if fingerprint_again(name, known) != known]
    for names, what in (
        (differing, "was trained with other code than the installed"),
        (unrecorded, "does not record the code of"),
    ):
        if names:
            raise TreadleError(
                f"the bundle {what}: {', '.join(names)}; its predictions may differ from those of the training. "
                'Train it again, or accept the installed code: --any-code, or load(…, code="any")'
            )


def _has_identity(module: str) -> bool:
    """Whether a hash or a version identifies its code; libraries that Treadle itself requires are the environment."""
    return find_module(module) is not None and any(map(_decides, fingerprint_modules([module])))


def _list_modules(recipe: Recipe) -> Iterator[str]:
    nodes = find_targets({"features": recipe.features.model_dump(), "model": recipe.model})
    paths = [node["_target_"] for _, node in nodes]
    yield from list_code(paths)
    if recipe.loss.function.get("levels"):
        yield "treadle.models.levels"
    if recipe.data.answer == "multilabel":
        yield "treadle.models.labels"
    if any(read_constant(path, "OFFSET") for path in paths):
        yield "treadle.models.offset"


def _decides(module: str) -> bool:
    return module.partition(".")[0] != TREADLE or module.startswith(_COMPUTING)
