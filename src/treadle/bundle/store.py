"""The bundle on disk: features, the model, and the experiment that made them, in one folder.

A bundle may come from somebody else. Its files are data: each is listed with its digest, read within limits, and
held against the others before a row is predicted. What it builds are classes that its reader allows.

That of a blend holds no model of its own, but a bundle for each member: `members/<name>/`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import torch
from polars.exceptions import PanicException
from torch import nn

from treadle.bundle.blend import BlendBundle
from treadle.bundle.bundle import Bundle
from treadle.bundle.card import Card, Recipe, read_card, read_recipe
from treadle.bundle.code import require_same_code
from treadle.bundle.limits import limit_building
from treadle.bundle.model import TARGETS, Model, build_model
from treadle.bundle.packing import pack, unpack
from treadle.bundle.predictor import Predictor
from treadle.champions.bundles import find_folder
from treadle.data.casting import DTYPES
from treadle.data.datetime_formats import reads_back
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.source_bundles import digest_file
from treadle.experiment.spec import OnBreach, is_blend
from treadle.features.featurizer import STATE_FILE, WEIGHTS_FILE, Featurizer
from treadle.json_files import write_json
from treadle.keys import find_targets
from treadle.models.estimator import Estimator
from treadle.printable import escape
from treadle.schema import UsableCode
from treadle.targets.build import BuildError
from treadle.targets.signatures import is_class
from treadle.targets.validate import check_target
from treadle.tensor_files import read_tensors, require_same, write_tensors

_CARD, _NETWORK, _RECIPE, _MEMBERS = "bundle.json", "network.pt", "experiment.json", "members"
MAX_MESSAGE = 800  # characters of an error
_LISTED = (STATE_FILE, WEIGHTS_FILE, _RECIPE)  # and the file of the model
_MODEL_FILE = re.compile(r"[a-z][a-z_]*\.[a-z]+")
_OF_THE_SYSTEM = (".DS_Store", ".nfs")  # beginnings of files that macOS and NFS leave in any folder


def save(bundle: Predictor, folder: Path) -> None:
    """Write the bundle; the card lists each file with its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(bundle, BlendBundle):
        for name, member in bundle.members.items():
            save(member, folder / _MEMBERS / name)
        listed = _list_cards(bundle.card)
    else:
        assert isinstance(bundle, Bundle)
        bundle.featurizer.save(folder)
        model = bundle.model
        if isinstance(model, Estimator):
            model.save(folder / model.FILE)
        else:
            write_tensors(_store(model, card=bundle.card), folder / _NETWORK)
        listed = [*_LISTED[:2], _name_file(model)]
    write_json(bundle.recipe.model_dump(mode="json"), folder / _RECIPE)
    card = bundle.card.model_copy(update={"files": {name: digest_file(folder / name) for name in [*listed, _RECIPE]}})
    write_json(card.model_dump(mode="json"), folder / _CARD)


def _store(network: nn.Module, *, card: Card) -> Mapping[str, torch.Tensor]:
    """The weights as they stand in their file."""
    weights = network.state_dict()
    if card.storage is None:
        return weights
    return pack(weights, parameters={name for name, _ in network.named_parameters()})


def _list_cards(card: Card) -> list[str]:
    """The cards of the members of a blend, each of which lists its own files."""
    return [f"{_MEMBERS}/{name}/{_CARD}" for name in card.members]


def load(
    path: str | Path,
    *,
    targets: Sequence[str] = TARGETS,
    on_breach: OnBreach | None = None,
    code: UsableCode = "same",
) -> Predictor:
    """Load the bundle of a run: `treadle.load("runs/flights-1a2b3c4d").predict(frame)`.

    Args:
        path: the run's folder, or the bundle's own; `champion`, or `flights@champion` where there are several models.
        targets: prefixes of the classes that may be built. Classes of your own need their package here: a bundle
            cannot extend them itself.
        on_breach: what happens to rows that break the contract: "refuse", "warn" or "allow"; None: the
            experiment's `data.on_breach`.
        code: "same" refuses code of network and features that differs from that of the training, as predictions may
            differ; "any" accepts the installed code.

    Raises:
        TreadleError: there is no bundle, a file is damaged or does not fit the others, a target is not allowed, or the
            code differs.
    """
    if code not in get_args(UsableCode):
        raise TreadleError(f"code must be same or any; found {code!r}")
    if on_breach not in (None, *get_args(OnBreach)):
        raise TreadleError(f"on_breach must be one of {', '.join(get_args(OnBreach))}; found {on_breach!r}")
    folder = find_bundle_folder(path)
    with _in_one_line():
        card = read_card(folder / _CARD)
        load_one = partial(_load_one, targets=targets, code=code)
        recipe, members = _read_checked(folder, card), {}
        if not card.members:
            bundle: Predictor = load_one(folder, card, recipe)
        else:
            for name in card.members:
                inside = folder / _MEMBERS / name
                own = read_card(inside / _CARD)
                _require_member(own, card, inside)
                members[name] = load_one(inside, own, _read_checked(inside, own))
            bundle = BlendBundle(card, recipe, members)
        bundle = replace(bundle, override=on_breach)
        _try_out(bundle, folder)
    return bundle


def _read_checked(folder: Path, card: Card) -> Recipe:
    """The experiment of a bundle whose files are those that its card lists."""
    _verify_files(folder, card)
    recipe = read_recipe(folder / _RECIPE)
    with _naming(folder / _RECIPE):
        if is_blend(recipe.model) != bool(card.members):
            raise TreadleError("model: the card has members where the model is a blend, and none elsewhere")
        _check_types(card, recipe)
    return recipe


def _require_member(own: Card, card: Card, folder: Path) -> None:
    """A member predicts what the blend does, from the same columns.

    Raises:
        TreadleError: it does not.
    """
    if own.members:
        raise TreadleError(f"{folder / _CARD}: a member of a blend is no blend")
    for key in ("task", "classes", "columns"):
        if getattr(own, key) != getattr(card, key):
            raise TreadleError(f"{folder / _CARD}: {key} must be that of the blend")
    if own.target.levels != card.target.levels:
        raise TreadleError(f"{folder / _CARD}: target.levels must be those of the blend")


def _load_one(folder: Path, card: Card, recipe: Recipe, *, targets: Sequence[str], code: UsableCode) -> Bundle:
    """The bundle of one model."""
    with _naming(folder / _RECIPE):
        _check_targets(recipe, targets=targets)
    if code == "same":
        with _naming(folder):
            require_same_code(card.code, recipe)
    with _naming(folder / _RECIPE):
        featurizer = Featurizer.load(folder, spec=recipe.features, targets=targets)
    return Bundle(card, recipe, featurizer, _load_model(folder, card, recipe, featurizer, targets=targets))


def _load_model(folder: Path, card: Card, recipe: Recipe, featurizer: Featurizer, *, targets: Sequence[str]) -> Model:
    assert isinstance(recipe.model, dict), "that of a blend holds no model of its own"
    weights = read_tensors(folder / _NETWORK) if _NETWORK in card.files else {}
    if card.storage is not None:
        weights = unpack(weights, file=folder / _NETWORK)
    with _naming(folder / _RECIPE), limit_building(weights):
        model = build_model(
            recipe.model,
            targets=targets,
            num_numeric=len(featurizer.numeric_names),
            cardinalities=featurizer.cardinalities,
            num_classes=len(card.classes),
            labels=card.classes if card.task == "multilabel" else (),
            texts=featurizer.texts,
            offsets=featurizer.offsets,
            images=featurizer.images,
            levels=card.target.levels,
        )
    file = folder / _name_file(model)
    if file.name not in card.files:
        raise TreadleError(f"{folder / _CARD}: must list {file.name}, the file of {recipe.model['_target_']}")
    if isinstance(model, Estimator):
        model.load(file)
    else:
        _fill(model, weights, file=file)
    return model


def _name_file(model: Model) -> str:
    return model.FILE if isinstance(model, Estimator) else _NETWORK


def _fill(network: nn.Module, weights: Mapping[str, torch.Tensor], *, file: Path) -> None:
    require_same(weights, network.state_dict(), file=file)
    _require_numbers(weights, parameters={name for name, _ in network.named_parameters()}, file=file)
    network.load_state_dict(weights)
    network.eval()


def _require_numbers(weights: Mapping[str, torch.Tensor], *, parameters: set[str], file: Path) -> None:
    """Only a buffer may be infinite, such as a mask."""
    for name, tensor in weights.items():
        if tensor.isnan().any() or (name in parameters and tensor.isinf().any()):
            raise TreadleError(f"{file}: {name!r} holds a value that is not finite")


def _check_types(card: Card, recipe: Recipe) -> None:
    """A column of the examples has the type that its table declares, in a format that can be read."""
    examples = recipe.data.examples
    declared = recipe.data.tables[examples.table].columns
    for name in declared.keys() & card.columns.keys() & set(examples.known):
        column, key = declared[name], f"data.tables.{examples.table}.columns.{name}"
        if str(DTYPES[column.dtype]) != card.columns[name]:
            raise TreadleError(f"{key}.dtype is {column.dtype}, but {_CARD} has {card.columns[name]}")
        if column.format is not None and not (column.dtype in {"date", "datetime", "time"} and reads_back(column)):
            raise TreadleError(f"{key}.format: a {column.dtype} cannot be read with {column.format!r}")


def _check_targets(recipe: Recipe, *, targets: Sequence[str]) -> None:
    """Every class that is built, with its arguments, against the signature in its source.

    Raises:
        TreadleError: a target is not allowed, or no class, or does not take its arguments.
    """
    built = {"features": recipe.features.model_dump(), "model": recipe.model}
    for key, node in find_targets(built):
        for problem in check_target(key, node, targets):
            raise TreadleError(f"{problem.key}: {problem.rule}")
        path = node["_target_"]
        if path.startswith(TARGETS) and not is_class(path):  # a function might import, read or write
            raise TreadleError(f"{key}._target_: {path!r} is no class, and a bundle builds nothing else of Treadle's")


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Name the file in the error of a failed build, unless a file is named already."""
    try:
        yield
    except BuildError as error:
        reason = f"{type(error.error).__name__}: {error.error}"
        raise TreadleError(f"{file}: {error.key}: {error.path!r} failed when it was built: {reason}") from error
    except TreadleError as error:
        message = str(error)
        raise TreadleError(message if str(file.parent) in message else f"{file}: {message}") from error


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Names and values are untrusted: whatever they hold, an error is one printable line."""
    try:
        yield
    except TreadleError as error:
        text = str(error)
        raise TreadleError(escape(text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…")) from error


def _try_out(bundle: Predictor, folder: Path) -> None:
    """Predict one row of nulls, to verify that the parts fit together.

    Raises:
        TreadleError: they do not.
    """
    try:
        bundle.predict(dict.fromkeys(bundle.card.columns), on_breach="allow")
    except (Exception, PanicException) as error:
        raise TreadleError(f"{folder}: the parts of the bundle do not fit together: {error}") from error


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle itself, rather than that of a run which holds one."""
    return (folder / _CARD).is_file()


def find_bundle_folder(path: str | Path) -> Path:
    """The folder of the bundle that a path, or a reference such as `champion`, means.

    Raises:
        TreadleError: there is none.
    """
    return _find_folder(find_folder(str(path), root=Path.cwd()))


def _find_folder(path: Path) -> Path:
    inside = RunFolder(path).bundle
    for folder in (inside, path):
        if is_bundle(folder):
            return folder
    raise TreadleError(f"no bundle in {path}: expected {inside / _CARD}; `treadle train` writes one")


def _verify_files(folder: Path, card: Card) -> None:
    """Compare contents, not paths: DVC may store a file elsewhere, behind a link."""
    files = card.files
    wanted = [*_list_cards(card), _RECIPE] if card.members else list(_LISTED)
    others = [name for name in files if name not in wanted]
    is_whole = files.keys() >= set(wanted)
    if card.members and (others or not is_whole):
        raise TreadleError(f"{folder / _CARD}: must list the files {sorted(wanted)}, found {sorted(files)}")
    if not card.members and not (is_whole and len(others) == 1 and _MODEL_FILE.fullmatch(others[0])):
        listed = ", ".join(sorted(wanted))
        raise TreadleError(
            f"{folder / _CARD}: must list the files {listed} and that of the model, found {sorted(files)}"
        )
    _refuse_others(folder, [_CARD, *(name.partition("/")[0] for name in files)])
    if card.members and (folder / _MEMBERS).is_dir():
        _refuse_others(folder / _MEMBERS, card.members)
    for name, digest in files.items():
        if not (folder / name).is_file():
            raise TreadleError(f"{folder / name} is missing in the bundle, or is not a regular file")
        if digest_file(folder / name) != digest:
            raise TreadleError(f"{folder / name} is damaged: its digest differs from the one in {_CARD}")


def _refuse_others(folder: Path, known: Collection[str]) -> None:
    for name in sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(_OF_THE_SYSTEM)):
        if name not in known:
            raise TreadleError(f"{folder / name} is not listed in {_CARD}: a bundle has no other files")
