"""The JSON Schemas of conf/: current, true of every shipped file, and of one mind with `treadle check`."""

import json
import shutil
from graphlib import TopologicalSorter
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

import jsonschema
import pytest
import referencing

from runs import treadle
from treadle.check.resolve import resolve
from treadle.cli.completion.verbs import complete
from treadle.cli.parser import build_parser
from treadle.config import compose as composition
from treadle.config.lint import lint
from treadle.config.origins import read_file
from treadle.problems import ConfigError
from treadle.schemas.discriminated import Branch, make_discriminated
from treadle.schemas.files import DRAFT, find_stale, make_schemas
from treadle.targets.rules import Exclusive, OnlyWith, Together

pytestmark = pytest.mark.fast_cases(10)

MODELINE = "# yaml-language-server: $schema="


def list_yaml(root):
    return [*sorted((root / "conf").rglob("*.yaml")), root / "params.yaml"]


def find_schema(file):
    """The schema that a file's own comment names."""
    (line,) = [line for line in file.read_text().splitlines() if line.startswith(MODELINE)]
    return file.parent / line.removeprefix(MODELINE)


def retrieve(uri):
    """A schema of the disk alone, as an editor finds it."""
    return referencing.Resource.from_contents(json.loads(Path(url2pathname(uri.removeprefix("file:"))).read_text()))


def list_errors(file):
    """The mistakes that the file's schema finds: where, by which keyword."""
    registry = referencing.Registry(retrieve=retrieve)
    schema = {"$schema": DRAFT, "$ref": find_schema(file).resolve().as_uri()}
    errors = jsonschema.Draft7Validator(schema, registry=registry).iter_errors(read_file.__wrapped__(file))
    return {(".".join(map(str, error.absolute_path)), error.validator) for error in errors}


def edit(project, file, old, new):
    path = project / "conf" / f"{file}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


# --- the shipped files --------------------------------------------------------------------------------


def test_the_committed_schemas_are_current(root):
    stale = find_stale(root, root / "conf" / ".schema")

    assert stale == [], "`treadle schema` writes them"
    assert len(list((root / "conf" / ".schema").iterdir())) == 22


def test_each_is_a_schema_of_draft_7(root):
    for path in (root / "conf" / ".schema").iterdir():
        jsonschema.Draft7Validator.check_schema(json.loads(path.read_text()))


def test_every_reference_leads_to_a_part_of_a_file_beside_it_and_never_back(root):
    """Editors cannot follow a schema that holds itself."""
    folder = root / "conf" / ".schema"

    def list_references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
        for one in inner:
            yield from list_references(one)

    registry = referencing.Registry(retrieve=retrieve)
    leads_to, todo = {}, [path.as_uri() for path in folder.iterdir()]
    while todo:
        uri = todo.pop()
        if uri not in leads_to:
            found = registry.get_or_retrieve(uri.partition("#")[0])
            registry = found.registry
            references = list_references(registry.resolver().lookup(uri).contents)
            leads_to[uri] = {urljoin(uri, reference) for reference in references}
            todo += leads_to[uri]

    assert {Path(urlsplit(uri).path).parent for uri in leads_to} == {folder}
    TopologicalSorter(leads_to).prepare()  # raises where one leads back


def test_every_shipped_file_names_its_schema_and_is_valid_under_it(root):
    files = list_yaml(root)

    assert len(files) > 30
    for file in files:
        group = (
            ".".join(file.parent.relative_to(root / "conf").parts) if file.is_relative_to(root / "conf") else "params"
        )
        expected = group or "config"
        assert find_schema(file).resolve() == root / "conf" / ".schema" / f"{expected}.json"
        assert list_errors(file) == set(), file


def test_every_key_has_a_description(root):
    bare = []

    def walk(node, path):
        for name, schema in node.get("properties", {}).items():
            if isinstance(schema, bool):
                continue
            if schema and not schema.keys() & {"description", "errorMessage", "$ref"}:
                bare.append(".".join([*path, name]))
            walk(schema, [*path, name])
        for name, schema in node.get("definitions", {}).items():
            walk(schema, [name])
        for part in ("then", "additionalProperties"):
            if isinstance(node.get(part), dict):
                walk(node[part], path)
        for part in node.get("allOf", []):
            walk(part, path)

    for name, text in make_schemas(root).items():
        walk(json.loads(text), [])
        # torch leaves two of its arguments without a word
        assert [key for key in bare if "torch.optim." not in key] == [], name


# --- what is refused ----------------------------------------------------------------------------------


def broken(file, old, new, key, keyword, *overrides):
    """An edit of a file of conf/; the key of the mistake; the keyword of the schema that finds it; what selects it."""
    return file, old, new, key, keyword, overrides


MORE = "additionalProperties"
BROKEN = {
    "key-unknown": broken("schedule/base", "max_epochs:", "max_epoch:", "schedule", MORE),
    "key-unknown-deep": broken(
        "schedule/base", "  patience:", "  patienc:", "schedule.early_stopping", MORE, "schedule=default"
    ),
    "key-unknown-in-a-table": broken(
        "data/flights",
        "seats: {dtype: int,",
        "seats: {dtype: int, nulable: true,",
        "data.tables.planes.columns.seats",
        MORE,
    ),
    "key-unknown-in-an-experiment": broken("experiment/flights", "  max_epochs:", "  max_epoch:", "schedule", MORE),
    "defaults-in-a-section": broken(
        "experiment/flights", "  max_epochs: 4", "  defaults: [base]\n  max_epochs: 4", "schedule", None
    ),
    "key-unknown-in-a-member": broken(
        "model/ensemble",
        "members: 5",
        "members: 5\nmember: {_target_: treadle.models.mlp.Mlp, widht: 3}",
        "model.member",
        MORE,
        "model=ensemble",
    ),
    "key-unknown-at-the-top": broken("config", "seed: 0", "seed: 0\nsede: 0", "", MORE),
    "type": broken("schedule/base", "batch_size: 1024", "batch_size: many", "schedule.batch_size", "pattern"),
    "type-fraction": broken("schedule/base", "batch_size: 1024", "batch_size: 10.5", "schedule.batch_size", "type"),
    "type-list": broken("tracker/offline", "tags: []", "tags: a", "tracker.tags", "pattern"),
    "type-section": broken(
        "experiment/flights",
        "  max_epochs: 4",
        "  early_stopping: 3\n  max_epochs: 4",
        "schedule.early_stopping",
        "type",
    ),
    "range": broken("schedule/base", "batch_size: 1024", "batch_size: 0", "schedule.batch_size", "minimum"),
    "range-open": broken(
        "evaluation/default", "threshold: 0.5", "threshold: 1", "evaluation.threshold", "exclusiveMaximum"
    ),
    "range-in-an-experiment": broken(
        "experiment/flights", "name: flights", "name: flights\nmodel: {dropout: 1}", "model.dropout", "exclusiveMaximum"
    ),
    "choice": broken("tracker/offline", "mode: offline", "mode: offlin", "tracker.mode", "anyOf"),
    "duration": broken("data/flights", "gap: 1d", "gap: 1day", "data.split.gap", "pattern"),
    "moment": broken("data/flights", '"2013-11-01"', '"2013-13-01"', "data.split.test_from", "pattern"),
    "name": broken("experiment/flights", "name: flights", "name: my run/1", "name", "pattern"),
    "target": broken("model/mlp", "models.mlp.Mlp", "models.mlp.Mpl", "model._target_", "anyOf", "model=mlp"),
    "argument": broken("model/mlp", "width: 256", "widht: 256", "model", MORE, "model=mlp"),
    "argument-of-another-target": broken("model/mlp", "width: 256", "width: 256\nk: 3", "model", MORE, "model=mlp"),
    "argument-given-by-treadle": broken(
        "model/mlp", "width: 256", "width: 256\nnum_outputs: 1", "model", MORE, "model=mlp"
    ),
    "argument-without-its-target": broken(
        "model/tabm_wide", "width: 256", "widht: 256", "model", MORE, "model=tabm_wide"
    ),
    "argument-type": broken("model/mlp", "width: 256", "width: wide", "model.width", "pattern", "model=mlp"),
    "argument-range": broken(
        "model/mlp", "dropout: 0.0", "dropout: 1", "model.dropout", "exclusiveMaximum", "model=mlp"
    ),
    "argument-choice": broken("model/tabm", "arch_type: tabm", "arch_type: tabmm", "model.arch_type", "anyOf"),
    "argument-of-torch": broken("schedule/one_cycle", "lr: 0.003", "learning_rate: 0.003", "schedule.optimizer", MORE),
    "argument-range-of-torch": broken(
        "schedule/one_cycle", "lr: 0.003", "lr: -1", "schedule.optimizer.lr", "exclusiveMinimum"
    ),
    "argument-tuple": broken(
        "schedule/one_cycle", "lr: 0.003", "lr: 0.003\n  betas: [0.9]", "schedule.optimizer.betas", "minItems"
    ),
    "argument-of-a-transform": broken(
        "features/california",
        "num_bins: 48",
        "num_bins: 0",
        "features.blocks.numbers.steps.bins.num_bins",
        "minimum",
        "experiment=california",
    ),
    "argument-that-no-one-reads": broken(
        "model/tabm", "num_frequencies: null", "num_frequencies: 16", "model.num_frequencies", "type"
    ),
    "argument-needed-with-another": broken(
        "model/tabm", "numeric_embedding: none", "numeric_embedding: periodic", "model.num_frequencies", "type"
    ),
    "split-of-another-kind": broken(
        "data/california", "by: random", "by: random\n  gap: 1d", "data.split", MORE, "experiment=california"
    ),
    "split-of-no-kind": broken(
        "data/california", "by: random", "by: randm", "data.split.by", "anyOf", "experiment=california"
    ),
}


@pytest.mark.slow
@pytest.mark.sampled_cases(8)
@pytest.mark.fast_cases(6)
@pytest.mark.parametrize("name", BROKEN)
def test_a_mistake_is_refused_at_its_key_as_treadle_check_does(project, name):
    file, old, new, key, keyword, overrides = BROKEN[name]
    path = edit(project, file, old, new)
    group = file.partition("/")[0]
    prefix = f"{group}." if "/" in file and group != "experiment" else ""

    errors = list_errors(path)
    with pytest.raises(ConfigError) as caught:
        resolve(overrides=list(overrides), root=project)

    assert (key.removeprefix(prefix.rstrip(".")).lstrip("."), keyword) in errors
    told = {problem.key for problem in caught.value.problems}
    assert any(k == key or k.rpartition(".")[0] == key for k in told), told


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config", "- model: tabm_wide", "- model: tabm_wid"),
        ("config", "- model: tabm_wide", "- modle: tabm_wide"),
        ("experiment/adult", "override /model: tabm_wide", "override /model: tabm_wid"),
        ("experiment/adult", "override /model", "override model"),
        ("schedule/cosine", "[base, _self_]", "[bas, _self_]"),
        ("schedule/cosine", "[base, _self_]", "base"),
        ("schedule/cosine", "[base, _self_]", "[base, {}, _self_]"),
    ],
)
def test_an_option_that_does_not_exist_is_refused_in_a_defaults_list(project, file, old, new):
    path = edit(project, file, old, new)

    problems = lint(project / "conf", options=composition.list_options(project), root=project)

    assert {place.split(".")[0] for place, _ in list_errors(path)} == {"defaults"}
    assert {problem.key for problem in problems} == {"defaults"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("model: mpl\n", "model"),
        ("modle: mlp\n", ""),
        ("set: {schedule: {max_epoch: 3}}\n", "set.schedule"),
        ("set: {schedule: {max_epochs: 0}}\n", "set.schedule.max_epochs"),
    ],
)
def test_a_selection_is_validated_too(project, text, place):
    file = project / "params.yaml"
    file.write_text(f"{MODELINE}conf/.schema/params.json\n{text}")

    assert {found for found, _ in list_errors(file)} == {place}


# --- what is allowed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("schedule/base", "max_epochs: 20", "max_epochs: ${seed}"),
        ("schedule/base", "max_epochs: 20", "max_epochs: ???"),
        ("model/mlp", "_target_: treadle.models.mlp.Mlp", "_target_: ${name}"),
        ("model/tabm", "num_frequencies: null", "num_frequencies: ${seed}"),
        ("tracker/offline", "tags: []", "tags: ${targets}"),
        ("tracker/offline", "mode: offline", "mode: ${oc.env:MODE,offline}"),
        ("experiment/flights", "schedule:\n  max_epochs: 4", "schedule: ${a}\n#"),
        ("data/flights", "  by: time", "  by: ${seed}"),
        ("experiment/flights", "  - override /schedule: one_cycle", "  - override /schedule: ${a}\n  - optional x: y"),
        ("experiment/flights", "  - override /schedule: one_cycle", "  - flights_linear\n  - /model@extra: mlp"),
        ("experiment/flights", "name: flights", "name: flights\ndata: {tables: {planes: {columns: {year: {max: 0}}}}}"),
        ("experiment/flights", "name: flights", "name: flights\nmodel: {width: 3}"),
        ("experiment/flights", "name: flights", "name: flights\ndata: {split: {gap: 2d}}"),
    ],
)
def test_what_other_files_may_complete_is_allowed(project, file, old, new):
    assert list_errors(edit(project, file, old, new)) == set()


@pytest.mark.parametrize(
    ("rule", "values", "place"),
    [
        (Exclusive(("a", "b")), {"a": 1, "b": 2}, "b"),
        (Exclusive(("a", "b")), {"a": 1, "b": None}, None),
        (Exclusive(("a", "b")), {"a": 1, "b": "${c}"}, None),
        (Together(("a", "b")), {"a": 1, "b": None}, "b"),
        (Together(("a", "b")), {"a": 1, "b": 2}, None),
        (Together(("a", "b")), {"a": None, "b": []}, None),
        (OnlyWith("a", "on", ("b",)), {"a": "off", "b": 1}, "b"),
        (OnlyWith("a", "on", ("b",)), {"a": "on", "b": None}, "b"),
        (OnlyWith("a", "on", ("b",)), {"a": "on", "b": 1}, None),
        (OnlyWith("a", "on", ("b",)), {"a": "${c}", "b": 1}, None),
        (OnlyWith("a", ("on", "half"), ("b",)), {"a": "off", "b": 1}, "b"),
        (OnlyWith("a", ("on", "half"), ("b",)), {"a": "half", "b": None}, "b"),
        (OnlyWith("a", ("on", "half"), ("b",)), {"a": "half", "b": 1}, None),
    ],
)
def test_a_rule_between_arguments_is_of_one_mind_with_its_schema(rule, values, place):
    branch = Branch("", {"a": {}, "b": {}}, rules=[rule])
    definitions = {}
    schema = make_discriminated("_target_", {"x": branch}, name="", definitions=definitions, shared={}, description="")
    schema = {**schema, "definitions": definitions}

    found = {
        error.absolute_path[0] for error in jsonschema.Draft7Validator(schema).iter_errors({"_target_": "x", **values})
    }

    assert found == ({place} if place else set())
    if not any(isinstance(value, str) and "$" in value for value in values.values()):
        assert {name for name, _ in rule.find(values)} == found


# --- the verb and other projects ----------------------------------------------------------------------


def test_check_names_what_is_stale_and_the_verb_writes_it(project, capsys):
    assert treadle("schema", "--check") == 0
    (project / "conf" / "model" / "small.yaml").write_text("# A small one.\ndefaults: [mlp, _self_]\nwidth: 8\n")

    assert treadle("schema", "--check") == 2
    told = capsys.readouterr().err
    assert "conf/.schema/defaults.json" in told
    assert told.count(".json") == 1, "an option of a group stands in no other file"

    assert treadle("schema") == 0
    assert treadle("schema", "--check") == 0
    assert '"small"' in (project / "conf" / ".schema" / "defaults.json").read_text()


def test_a_broken_file_is_reported_with_its_place(project, capsys):
    edit(project, "tracker/offline", "tags: []", "tags: [a\nb: c")

    assert treadle("schema") == 2
    assert "conf/tracker/offline.yaml:" in capsys.readouterr().err


def test_a_folder_can_be_named(project):
    assert treadle("schema", "-o", "for_editors") == 0
    assert len(list((project / "for_editors").iterdir())) == 22


def test_a_component_of_the_project_is_offered_with_its_arguments(project):
    package = project / "my_nets"
    package.mkdir()
    (package / "__init__.py").write_text("from .wide import Wide\n")
    (package / "wide.py").write_text(
        "from torch import nn\n\n\nclass Wide(nn.Module):\n"
        '    """Wide.\n\n    Args:\n        width: units of the layer.\n    """\n\n'
        "    def __init__(self, *, num_numeric, cardinalities, num_outputs, width: int):\n        pass\n"
    )
    edit(project, "config", "- torch.optim.", "- my_nets.\n  - torch.optim.")
    file = project / "conf" / "model" / "wide.yaml"
    file.write_text(f"{MODELINE}../.schema/model.json\n_target_: my_nets.Wide\nwidth: 64\n")

    assert treadle("schema") == 0

    assert list_errors(file) == set()
    assert "Units of the layer" in find_schema(file).read_text()
    file.write_text(file.read_text().replace("width: 64", "widht: 64"))
    assert list_errors(file) == {("", "additionalProperties")}


def test_a_project_without_conf_gets_the_schemas_of_the_shipped_one(tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert treadle("schema") == 0

    for path in (tmp_path / "conf" / ".schema").iterdir():
        assert path.read_text() == (root / "conf" / ".schema" / path.name).read_text()


def test_the_schemas_are_no_group_and_no_configuration(project):
    assert (project / "conf" / ".schema" / "model.json").is_file()

    assert ".schema" not in composition.list_options(project)
    assert lint(project / "conf", options=composition.list_options(project), root=project) == []
    assert not any(".schema" in word for word in complete(["run", ""], root=project, parser=build_parser()))
    shutil.rmtree(project / "conf" / ".schema")
    assert treadle("check") == 0
