"""Schemas of the sections of an experiment and of the targets in them, each key with its meaning."""

from __future__ import annotations

import typing
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

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
from treadle.schemas.discriminated import Branch, make_discriminated
from treadle.schemas.values import Schema, allow_open, make_value, refer
from treadle.targets.components import Component, list_components
from treadle.targets.docstrings import read_words
from treadle.targets.injected import list_context
from treadle.targets.signatures import Parameter

SHOWN = 200  # characters of a description
# Which specification has a key: a file of conf/ may hold those of a table and those of a learner.
_OWNERS: dict[str, type[pydantic.BaseModel]] = {
    key: model for model in (spec.LearnerExperiment, spec.Experiment) for key in model.model_fields
}
# The keys of an experiment that are groups of conf/.
SECTIONS = tuple(
    key
    for key, declared in ((key, model.model_fields[key]) for key, model in _OWNERS.items())
    if key not in spec.RECORDS and (list_models(declared.annotation) or has_target(join_metadata(declared)))
)
# A key that only a whole file holds: its section allows it, and only the file describes it.
_FILE_KEYS, _NO_FILE_KEYS = {"defaults": True}, {"defaults": False}


@dataclass(frozen=True)
class Writer:
    """Makes the schema of one file of conf/; what is used more than once stands among its definitions."""

    root: Path  # the project
    prefixes: Sequence[str]  # the allowed targets
    definitions: dict[str, Schema] = field(default_factory=dict)

    def make_group(self, key: str, defaults: Schema) -> Schema:
        """The schema of a file that holds one section of an experiment, at a dotted key, and a defaults list."""
        annotation = find_section(key)
        assert annotation is not None, "only a section is a group"
        section = self._make(annotation, key, _FILE_KEYS)
        return {**_extend(key, {"defaults": defaults}), "definitions": {key: section, **self.definitions}}

    def make_experiment(self, shared: dict[str, Schema]) -> Schema:
        """The schema of a file that may hold every key of an experiment; a section's is in the file of its group."""
        sections = {
            key: {**_describe(_OWNERS[key], key), **_extend(key, _NO_FILE_KEYS, file=f"{key}.json")} for key in SECTIONS
        }
        left_out = (*SECTIONS, *spec.RECORDS)
        others = self._list_properties(spec.Experiment, "", without=left_out)
        others |= self._list_properties(spec.LearnerExperiment, "", without=(*left_out, *others))
        return make_section({**shared, **others, **sections})

    def _make(self, annotation: Any, key: str, shared: dict[str, Any]) -> Schema:
        """The schema of an annotation at a dotted key.

        Args:
            annotation: of a field of the specification.
            key: names that a user chooses are `*` in it.
            shared: properties that the object has besides its own.
        """
        models = list_models(annotation)
        if has_target(annotation):
            return self._make_target(key, shared, models)
        if models:
            if len(models) > 1:
                section = self._make_split(models, key, shared)
            else:
                section = make_section({**shared, **self._list_properties(models[0], key)})
            return _allow_null(section) if type(None) in typing.get_args(annotation) else section
        inner = _find_entries(annotation)
        if inner is not None:
            return self._make_mapping(annotation, inner, key)
        if typing.get_origin(_strip(annotation)) is list and list_models(typing.get_args(_strip(annotation))[0]):
            items = self._make(typing.get_args(_strip(annotation))[0], f"{key}.*", {})
            return {**make_value(read_type(annotation)), "items": items}
        return make_value(read_type(annotation))

    def _list_properties(
        self, model: type[pydantic.BaseModel], key: str, without: Collection[str] = ()
    ) -> dict[str, Schema]:
        return {
            name: {
                **_describe(model, name),
                **self._make_property(model, name, f"{key}.{name}".lstrip(".")),
                **_add_default(declared.default),
            }
            for name, declared in model.model_fields.items()
            if name not in without
        }

    def _make_property(self, model: type[pydantic.BaseModel], name: str, key: str) -> Schema:
        """The schema of a section's key; of a section that a member of a blend has, that in its group's file."""
        declared = model.model_fields[name]
        if model is spec.Member and declared.default is None:
            return {"anyOf": [_extend(name, _NO_FILE_KEYS, file=f"{name}.json"), {"type": "null"}]}
        return self._make(join_metadata(declared), key, {})

    def _make_mapping(self, annotation: Any, inner: Any, key: str) -> Schema:
        name = read_type(typing.get_args(_strip(annotation))[0]).pattern
        names: Schema = {"propertyNames": {"pattern": name}} if name else {}
        entries = {"type": "object", "additionalProperties": self._make(inner, f"{key}.*", {}), **names}
        return allow_open(entries, expected="a section")

    def _make_split(self, models: Sequence[type[pydantic.BaseModel]], key: str, shared: dict[str, Any]) -> Schema:
        branches = {
            kind: Branch((model.__doc__ or "").split("\n", 1)[0], self._list_properties(model, key, without=["by"]))
            for model in models
            for kind in list_kinds(model)
        }
        description = _describe(models[0], "by")["description"]
        return self._discriminate("by", branches, key=key, shared=shared, description=description)

    def _discriminate(self, discriminator: str, branches: dict[str, Branch], *, key: str, **more: Any) -> Schema:
        name = key.removesuffix(".*").rpartition(".")[2]
        return make_discriminated(discriminator, branches, name=name, definitions=self.definitions, **more)

    # --- targets --------------------------------------------------------------------------------------

    def _make_target(
        self,
        key: str,
        shared: dict[str, Any],
        others: Sequence[type[pydantic.BaseModel]],
        *,
        inside: bool = False,
    ) -> Schema:
        """A component by its target, or one of the sections that may stand in its place.

        Args:
            key: of the target.
            shared: properties that each has.
            others: the sections.
            inside: a component holds it. What a component within another holds is left open: editors cannot follow a
                reference that leads back to where it stands.
        """
        components = list_components(key, prefixes=self.prefixes, root=self.root)
        kind, description = TARGET_KEYS["_partial_"]
        shared = {**shared, "_partial_": {"description": description, **make_value(kind)}}
        branches = {c.path: self._make_branch(c, key, shared, inside=inside) for c in components}
        without = {name: schema for model in others for name, schema in self._list_properties(model, key).items()}
        description = TARGET_KEYS["_target_"][1]
        return self._discriminate(
            "_target_", branches, key=key, shared=shared, description=description, without=without
        )

    def _make_branch(self, component: Component, key: str, shared: dict[str, Any], *, inside: bool) -> Branch:
        signature, context = component.signature, list_context(key)
        takes = [parameter for name, parameter in signature.parameters.items() if name not in context]
        properties = {p.name: self._make_argument(component, p, key, shared, inside=inside) for p in takes}
        return Branch(_cut(read_words(component.path).summary), properties, signature.open, signature.rules)

    def _make_argument(
        self, component: Component, parameter: Parameter, key: str, shared: dict[str, Any], *, inside: bool
    ) -> Schema:
        place, path = f"{key}.{parameter.name}", component.path
        if list_context(place) and not inside:
            schema = self._make_target(place, shared, (), inside=True)
            schema["properties"] |= _NO_FILE_KEYS
            schema = _allow_null(schema) if "null" in make_value(parameter.type)["type"] else schema
        else:
            schema = make_value(parameter.type)
        return {**describe(*describe_argument(path, parameter.name)), **schema, **_add_default(read_default(parameter))}


def find_section(key: str) -> Any:
    """The annotation of a section of an experiment, at a dotted key; None where there is no section."""
    first, *inner = key.split(".")
    if first not in _OWNERS:
        return None
    annotation = join_metadata(_OWNERS[first].model_fields[first])
    models: Sequence[type[pydantic.BaseModel]] = list_models(annotation)
    for name in inner:
        declared = models[0].model_fields.get(name) if models else None
        if declared is None:
            return None
        annotation = join_metadata(declared)
        models = list_models(annotation)
    return annotation if models or has_target(annotation) else None


def make_section(properties: dict[str, Any]) -> Schema:
    """An object of these keys alone."""
    closed = {"type": "object", "properties": properties, "additionalProperties": False}
    return allow_open(closed, expected="a section")


def _extend(key: str, properties: dict[str, Any], *, file: str = "") -> Schema:
    """The section of a key, with further properties."""
    return {"allOf": [refer("definitions", key, file=file)], "properties": properties}


def _describe(model: type[pydantic.BaseModel], name: str) -> Schema:
    return describe(*describe_key(model, name))


def describe(text: str, unit: str) -> Schema:
    """The description of a key; the long ones of libraries are cut."""
    description = f"{_cut(text)} ({unit})" if unit else _cut(text)
    return {"description": description} if description else {}


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN].rpartition(' ')[0]} …"


def _add_default(default: Any) -> Schema:
    return {} if default is NO_DEFAULT or default is ... else {"default": default}


def _allow_null(schema: Schema) -> Schema:
    return {**schema, "type": [*schema["type"], "null"]}


def _strip(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _find_entries(annotation: Any) -> Any:
    """Of a mapping whose entries are sections or targets, or whose names have a form: the annotation of an entry."""
    bare = _strip(annotation)
    return typing.get_args(bare)[1] if typing.get_origin(bare) is dict else None
