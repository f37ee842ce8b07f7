"""Schemas of the sections of `spec.py` and of the targets in them, each key with its meaning."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
from pydantic.fields import FieldInfo

from treadle.check.structure import list_models
from treadle.experiment import spec
from treadle.explain.meanings import (
    NO_DEFAULT,
    TARGET_KEYS,
    describe_argument,
    describe_key,
    list_kinds,
    read_default,
)
from treadle.explain.spec_types import has_target, join_metadata, read_type
from treadle.schemas.choices import Branch, make_choice
from treadle.schemas.values import Schema, allow_open, make_value
from treadle.targets.components import Component, list_components
from treadle.targets.docstrings import read_words
from treadle.targets.injected import list_context
from treadle.targets.signatures import Parameter

SHOWN = 200  # characters of a description


@dataclass(frozen=True)
class Writer:
    """Writes the schemas of one project."""

    root: Path
    prefixes: Sequence[str]  # the allowed targets

    def make_group(self, key: str, defaults: Schema) -> Schema:
        """The schema of a file that holds one section of an experiment and a defaults list."""
        return self._make(join_metadata(spec.Experiment.model_fields[key]), key, {"defaults": defaults})

    def make_experiment(self, shared: dict[str, Schema]) -> Schema:
        """The schema of a file that may hold every key of an experiment."""
        return self._make_section(spec.Experiment, "", shared)

    def _make(self, annotation: Any, key: str, shared: dict[str, Schema]) -> Schema:
        """The schema of an annotation at a dotted key.

        Args:
            annotation: of spec.py.
            key: names of the user's are `*` in it.
            shared: properties that the object has besides its own.
        """
        models = list_models(annotation)
        if has_target(annotation):
            return self._make_target(key, shared, models)
        if models:
            section = (
                self._make_split(models, key, shared) if len(models) > 1 else self._make_section(models[0], key, shared)
            )
            return _allow_null(section) if type(None) in typing.get_args(annotation) else section
        inner = _find_entries(annotation)
        if inner is not None:
            return self._make_mapping(annotation, inner, key)
        if typing.get_origin(_strip(annotation)) is list and list_models(typing.get_args(_strip(annotation))[0]):
            items = self._make(typing.get_args(_strip(annotation))[0], f"{key}.*", {})
            return {**make_value(read_type(annotation)), "items": items}
        return make_value(read_type(annotation))

    def _make_section(self, model: type[pydantic.BaseModel], key: str, shared: dict[str, Schema]) -> Schema:
        properties = {**shared, **self._list_properties(model, key)}
        closed = {"type": "object", "properties": properties, "additionalProperties": False}
        return allow_open(closed, words="a section")

    def _list_properties(self, model: type[pydantic.BaseModel], key: str) -> dict[str, Schema]:
        return {
            name: self._describe(model, name, field, f"{key}.{name}".lstrip("."))
            for name, field in model.model_fields.items()
            if model is not spec.Experiment or name not in spec.RECORDS
        }

    def _describe(self, model: type[pydantic.BaseModel], name: str, field: FieldInfo, key: str) -> Schema:
        said = describe(*describe_key(model, name))
        return {**said, **self._make(join_metadata(field), key, {}), **_tell_default(field.default)}

    def _make_mapping(self, annotation: Any, inner: Any, key: str) -> Schema:
        name = read_type(typing.get_args(_strip(annotation))[0]).pattern
        names: Schema = {"propertyNames": {"pattern": name}} if name else {}
        entries = {"type": "object", "additionalProperties": self._make(inner, f"{key}.*", {}), **names}
        return allow_open(entries, words="a section")

    def _make_split(self, models: Sequence[type[pydantic.BaseModel]], key: str, shared: dict[str, Schema]) -> Schema:
        branches: dict[str, Branch] = {}
        for model in models:
            properties = self._list_properties(model, key)
            words = properties.pop("by")["description"]
            branches |= {
                kind: Branch((model.__doc__ or "").split("\n", 1)[0], properties) for kind in list_kinds(model)
            }
        return make_choice("by", branches, shared=shared, words=words)

    # --- targets --------------------------------------------------------------------------------------

    def _make_target(
        self,
        key: str,
        shared: dict[str, Schema],
        others: Sequence[type[pydantic.BaseModel]],
        inside: tuple[str, ...] = (),
    ) -> Schema:
        """A component by its target, or one of the sections that may stand in its place.

        Args:
            key: of the target.
            shared: properties that each has.
            others: the sections.
            inside: the components that hold it, which may hold themselves without end.
        """
        components = list_components(key, prefixes=self.prefixes, root=self.root)
        kind, words = TARGET_KEYS["_partial_"]
        shared = {**shared, "_partial_": {"description": words, **make_value(kind)}}
        branches = {component.path: self._make_branch(component, key, inside) for component in components}
        without = {name: schema for model in others for name, schema in self._list_properties(model, key).items()}
        return make_choice("_target_", branches, shared=shared, words=TARGET_KEYS["_target_"][1], without=without)

    def _make_branch(self, component: Component, key: str, inside: tuple[str, ...]) -> Branch:
        signature, context = component.signature, list_context(key)
        takes = {name: p for name, p in signature.parameters.items() if name not in context}
        held = (*inside, component.path)
        properties = {name: self._make_argument(p, f"{key}.{name}", held) for name, p in takes.items()}
        return Branch(_cut(read_words(component.path).summary), properties, signature.open, signature.rules)

    def _make_argument(self, parameter: Parameter, key: str, held: tuple[str, ...]) -> Schema:
        said = describe(*describe_argument(held[-1], parameter.name))
        is_place = bool(list_context(key)) and held[-1] not in held[:-1]
        schema = self._make_target(key, {}, (), held) if is_place else make_value(parameter.type)
        return {**said, **schema, **_tell_default(read_default(parameter))}


def describe(text: str, unit: str) -> Schema:
    """The description of a key; the long ones of libraries are cut."""
    said = f"{_cut(text)} ({unit})" if unit else _cut(text)
    return {"description": said} if said else {}


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN].rpartition(' ')[0]} …"


def _tell_default(default: Any) -> Schema:
    return {} if default is NO_DEFAULT or default is ... else {"default": default}


def _allow_null(schema: Schema) -> Schema:
    return {**schema, "type": [*schema["type"], "null"]}


def _strip(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _find_entries(annotation: Any) -> Any:
    """Of a mapping whose entries are sections or targets, or whose names have a form: the annotation of an entry."""
    bare = _strip(annotation)
    return typing.get_args(bare)[1] if typing.get_origin(bare) is dict else None
