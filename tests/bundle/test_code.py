"""A bundle runs with the code that it was trained with, or it says so."""

import json
import sys

import polars as pl
import pytest
import torch

from bundle_mutants import edit
from runs import forget_sources, treadle
from treadle.bundle import TARGETS, Bundle, Card, Recipe, Standard, fingerprint_code, load, save
from treadle.bundle.code import require_same_code
from treadle.errors import TreadleError
from treadle.features.featurizer import Featurizer

WIDE = """
import torch

from .act import act


class Wide(torch.nn.Module):
    def __init__(self, *, num_numeric, cardinalities, num_outputs, width: int):
        super().__init__()
        self.net = torch.nn.Linear(num_numeric, num_outputs)

    def forward(self, numeric, ids):
        return act(self.net(numeric))
"""
ACT = "import torch\n\n\ndef act(x):\n    return torch.relu(x + 1)\n"
ALLOWED = [*TARGETS, "served_model."]


def write_package(folder, act=ACT):
    """A package without `__init__.py`."""
    (folder / "served_model").mkdir(exist_ok=True, parents=True)
    (folder / "served_model" / "wide.py").write_text(WIDE)
    (folder / "served_model" / "act.py").write_text(act)
    forget_modules()


def forget_modules():
    """As in a new process."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "served_model"]:
        del sys.modules[name]
    forget_sources()


@pytest.fixture
def own(tiny, tmp_path, monkeypatch):
    """A folder with a bundle whose network is of a package beside it."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    write_package(tmp_path)
    made = load(tiny)
    node = {"_target_": "served_model.wide.Wide", "width": 4}
    recipe = Recipe.model_validate({**made.recipe.model_dump(), "model": node})
    featurizer = Featurizer.load(tiny, spec=recipe.features, targets=TARGETS)
    from served_model.wide import Wide

    torch.manual_seed(0)
    network = Wide(num_numeric=len(featurizer.numeric_names), cardinalities=[], num_outputs=1, width=4)
    standard = Standard(mean=0.0, scale=1.0)
    card = Card(task="binary", classes=[], columns=made.card.columns, target=standard, code=fingerprint_code(recipe))
    save(Bundle(card, recipe, featurizer, network), tmp_path / "bundle")
    yield tmp_path
    forget_modules()


def open_own(folder, **keys):
    return load(folder, targets=ALLOWED, on_breach="allow", **keys)


@pytest.fixture
def row(own):
    return dict.fromkeys(open_own(own).card.columns)


@pytest.mark.slow
def test_the_card_names_own_code_and_what_computes(own):
    code = json.loads((own / "bundle" / "bundle.json").read_text())["code"]

    assert {"served_model.wide", "served_model.act", "treadle.features.transforms"} <= code.keys()
    reading = {f"treadle.data.{name}" for name in ("casting", "datetime_formats", "number_formats")}
    assert reading | {"treadle.sql.functions"} <= code.keys()
    assert not any(name.startswith(("treadle.training", "treadle.schema", "torch")) for name in code)


@pytest.mark.slow
def test_other_own_code_is_refused_unless_it_is_asked_for(own, row):
    before = open_own(own).predict(row)
    write_package(own, ACT.replace("x + 1", "x - 99"))  # another length: Python looks at no parts of a second

    with pytest.raises(
        TreadleError, match=r"trained with other code than the installed: served_model\.act; .*--any-code"
    ):
        open_own(own)
    assert not open_own(own, code="any").predict(row).equals(before)


@pytest.mark.slow
def test_the_same_code_may_lie_elsewhere_and_be_commented(own, row, monkeypatch):
    """As a package that was installed where rows are served."""
    before = open_own(own).predict(row)
    (own / "served_model").rename(own / "old")
    write_package(own / "site-packages", f"# the same\n{ACT}")
    monkeypatch.syspath_prepend(str(own / "site-packages"))
    forget_modules()

    assert open_own(own).predict(row).equals(before)


def test_other_code_of_treadle_is_refused(copy):
    edit(copy, "bundle.json", lambda card: card["code"].update({"treadle.models.mlp": "0" * 16}))

    with pytest.raises(TreadleError, match=r"other code than the installed: treadle\.models\.mlp;"):
        load(copy)
    load(copy, code="any")


def test_a_bundle_without_the_digests_of_its_code_is_refused(copy):
    edit(copy, "bundle.json", lambda card: card.update(code={}))

    with pytest.raises(TreadleError, match=r"does not record the code of: .*treadle\.models\.mlp; "):
        load(copy)


@pytest.mark.slow
def test_a_layer_of_a_library_that_treadle_requires_needs_no_word(tiny):
    """Its version is the environment's, which a run records."""
    made = load(tiny)
    node = {**made.recipe.model, "activation": {"_target_": "torch.nn.ReLU"}}
    recipe = Recipe.model_validate({**made.recipe.model_dump(), "model": node})

    require_same_code(fingerprint_code(recipe), recipe)


def test_a_hidden_file_of_the_system_is_no_part_of_a_bundle(copy):
    (copy / ".DS_Store").write_bytes(b"x")

    load(copy)


def test_the_command_takes_other_code_when_it_is_asked_to(copy, tmp_path, capsys):
    edit(copy, "bundle.json", lambda card: card["code"].update({"treadle.models.mlp": "0" * 16}))
    rows = tmp_path / "rows.parquet"
    columns = json.loads((copy / "bundle.json").read_text())["columns"]
    pl.DataFrame({name: [None] for name in columns}).write_parquet(rows)
    command = ["predict", str(copy), str(rows), "-o", str(tmp_path / "out.parquet"), "--on-breach", "allow"]

    assert treadle(*command) == 2
    assert "--any-code" in capsys.readouterr().err
    assert treadle(*command, "--any-code") == 0


def test_a_word_for_code_is_known(copy):
    with pytest.raises(TreadleError, match="code must be same or any; found 'all'"):
        load(copy, code="all")
