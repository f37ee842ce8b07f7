"""The components that a key of the configuration accepts, found in sources without importing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import griffe

from treadle.experiment.modules import find_file, is_installed
from treadle.targets.ancestry import derives_from
from treadle.targets.injected import OFFERED, list_allowed, list_context
from treadle.targets.signatures import Signature, list_members, read_signature

OWN = "treadle."
_BASES = {"learner": "LightningModule", "datamodule": "LightningDataModule"}  # that Lightning asks for at a key

# They take the same arguments but are no components: base classes, containers, a stage.
_OTHERS = {
    "treadle.features.base.Encoder",
    "treadle.features.base.FirstStep",
    "treadle.features.base.PixelReader",
    "treadle.features.base.Transform",
    "treadle.features.base.Vectorizer",
    "treadle.features.blocks.FittedBlock",
    "treadle.features.featurize.featurize",
    "treadle.features.vectors.ColumnVectors",
    "treadle.models.boosting.Boosting",
    "treadle.models.estimator.Objective",
    "treadle.training.learner.Learner",
    "treadle.training.refit.Refitted",
    "treadle.training.scores.compute_prediction_loss",
    "treadle.training.scores.compute_scores",
    "torch.optim.Optimizer",
}


@dataclass(frozen=True)
class Component:
    """A class or function that takes the arguments that Treadle passes at a key."""

    path: str
    signature: Signature


def list_components(key: str, *, prefixes: Sequence[str], root: Path) -> list[Component]:
    """The components for the target at a dotted key, by path.

    Of an installed library only the names that its package itself offers are listed, of Treadle and of the project's
    packages every public one.

    Args:
        key: of the target, such as `model`; a name of the user's may be `*`.
        prefixes: the allowed targets.
        root: the project.
    """
    context, base = list_context(key), _BASES.get(key, "")
    found = {
        path for prefix in list_allowed(key, prefixes) for path in _list_paths(prefix, root) if path.startswith(prefix)
    }
    components = [Component(path, read_signature(path)) for path in sorted(found - _OTHERS)]
    fitting = [c for c in components if c.signature.open or context - OFFERED <= c.signature.parameters.keys()]
    return [c for c in fitting if not base or derives_from(c.path, base)]


@cache
def _list_paths(prefix: str, root: Path) -> tuple[str, ...]:
    package = prefix.rpartition(".")[0]
    file = find_file(package) if package else None
    if file is None:
        return ()
    # A virtual environment may be inside the project.
    own = package.startswith(OWN) or (file.is_relative_to(root) and not is_installed(file))
    modules = _list_modules(package, file) if own else (package,)
    return tuple(path for module in modules for path in _list_public(module, own=own))


def _list_modules(package: str, file: Path) -> Iterator[str]:
    yield package
    if file.name != "__init__.py":
        return
    for found in sorted(file.parent.rglob("*.py")):
        relative = found.relative_to(file.parent).with_suffix("")
        parts = relative.parent.parts if relative.name == "__init__" else relative.parts
        if parts and all(part.isidentifier() for part in parts):
            yield ".".join((package, *parts))


def _list_public(module: str, *, own: bool) -> Iterator[str]:
    """The classes and functions of a module, with those that a package imports from its own modules."""
    package = module.split(".", maxsplit=1)[0]
    for name, member in list_members(module).items():
        if name.startswith("_"):
            continue
        offered = isinstance(member, griffe.Alias) and member.target_path.startswith(f"{package}.")
        is_package = (find_file(module) or Path()).name == "__init__.py"
        if isinstance(member, griffe.Class | griffe.Function) or (offered and (is_package or not own)):
            yield f"{module}.{name}"
