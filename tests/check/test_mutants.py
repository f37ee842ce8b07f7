"""Mutants of the shipped experiments: each is refused with a place, or is valid; nothing else is raised."""

import importlib
import inspect
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.experiment.stages import NO_PART_OF_A_RUN
from treadle.keys import find_targets
from treadle.problems import ConfigError
from treadle.targets.injected import list_context
from treadle.targets.validate import RESERVED

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
STRANGE = (
    *(None, True, False, 0, -1, 3, 10**20, 1.5, -0.5, float("inf"), float("nan"), "", " ", "x", "ünï", "???"),
    *("${seed}", "${nowhere.at.all}", "${", "null", "1", "a=b", "a,b", "{", "'", "2013-02-30", "3 h", "SELECT 1", "*"),
    *([], [None], [[]], ["x", "x"], {}, {"x": 1}, {"_target_": "os.system"}, {"_target_": "treadle.models.mlp.Mlp"}),
)


def list_nodes(node, path=()):
    """Every place of a YAML document but its root."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from list_nodes(value, (*path, key))


def get(node, path):
    for part in path:
        node = node[part]
    return node


def delete(parent, key, _):
    del parent[key]


def rename(parent, key, draw):
    """A letter more, less or other, or the name of a neighbour."""
    if isinstance(parent, list):
        return retype(parent, key, draw)
    name, value = str(key), parent.pop(key)
    place = draw(st.integers(0, len(name)))
    names = [f"{name[:place]}z{name[place:]}", name[:place] + name[place + 1 :], name.upper(), f"{name}.x", *parent]
    parent[draw(st.sampled_from(names))] = value
    return None


def retype(parent, key, draw):
    parent[key] = draw(st.sampled_from(STRANGE))


def swap(parent, key, draw):
    other = draw(st.sampled_from(list(parent) if isinstance(parent, dict) else range(len(parent))))
    parent[key], parent[other] = parent[other], parent[key]


KINDS = {function.__name__: function for function in (delete, rename, retype, swap)}


def mutate(text, draw):
    """The document with one thing changed; its leading comments, which Hydra reads, stay."""
    head = "".join(f"{line}\n" for line in text.splitlines() if line.startswith("# @package"))
    document = yaml.safe_load(text)
    *path, key = draw(st.sampled_from(list(list_nodes(document))))
    kind = draw(st.sampled_from(sorted(KINDS)))
    KINDS[kind](get(document, path), key, draw)
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def list_files(name):
    """The files that an experiment is composed of."""
    return [file.path for file in compose(overrides=[f"experiment={name}"], root=ROOT).files]


@pytest.mark.slow
@pytest.mark.sampled_cases(3)
@pytest.mark.parametrize("num_mutants", [3, pytest.param(200, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_mutant_is_refused_with_a_place_or_is_valid(project, name, num_mutants):
    files = list_files(name)

    @settings(
        max_examples=num_mutants,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # a mutant is one change already: there is nothing to shrink
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(data=st.data())
    def check_mutant(data):
        file = data.draw(st.sampled_from(files), label="file").relative_to(CONF)
        text = mutate((CONF / file).read_text(), data.draw)
        (project / "conf" / file).write_text(text)
        try:
            validate(project, name)
        finally:
            shutil.copyfile(CONF / file, project / "conf" / file)

    check_mutant()


def validate(project, name):
    try:
        composed = compose(overrides=[f"experiment={name}"], root=project)
        experiment = check(composed)
    except ConfigError as refused:
        problems = refused.problems
    else:
        problems = []
        assert_it_is_valid(composed, experiment)
    assert [problem for problem in problems if not (problem.rule.strip() and str(problem.place))] == []


def assert_it_is_valid(composed, experiment):
    written = {
        key: value for key, value in composed.values.items() if key not in (*NO_PART_OF_A_RUN, "card")
    }  # a card that says nothing is left out
    assert_nothing_is_dropped(written, experiment.model_dump(), "")
    for key, node in find_targets(composed.values):
        assert_it_binds(key, node)


def assert_nothing_is_dropped(given, kept, key):
    """Each key that was written is a key that the experiment has; one that is null by default may be left out."""
    if isinstance(given, dict):
        said = {name: value for name, value in given.items() if value is not None or name in kept}
        assert said.keys() <= kept.keys(), f"{key}: {said.keys() - kept.keys()}"
        for name, value in said.items():
            assert_nothing_is_dropped(value, kept[name], f"{key}.{name}")


def assert_it_binds(key, node):
    """The imported class or function itself takes the arguments that the check let through."""
    module, _, name = node["_target_"].rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), name))
    given = {argument: value for argument, value in node.items() if argument not in RESERVED}
    context = dict.fromkeys(list_context(key) & signature.parameters.keys())
    bind = signature.bind_partial if node.get("_partial_") and not list_context(key) else signature.bind
    bind(**given, **context)
