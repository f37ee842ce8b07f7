"""The bundle of a blend: one prediction of several bundles, each verified as if it stood alone."""

import json
import shutil
from hashlib import sha256

import polars as pl
import pytest
import torch

from treadle.bundle import BlendBundle, load, save
from treadle.errors import TreadleError
from treadle.experiment.spec import Blend

MEMBER = "members/second/bundle.json"
FRAME = pl.DataFrame(
    {
        "age": [25, 40, 61],
        "capital-gain": [0, 3, 8],
        "hours-per-week": [12, 40, 50],
        "workclass": ["a", "b", "z"],
        "education": ["x", "other", "z"],
        "race": ["p", "q", "s"],
    }
)


@pytest.fixture
def members(tiny):
    """Two bundles of the same shape with other weights."""
    first, second = load(tiny), load(tiny)
    for parameter in second.model.parameters():
        parameter.data *= -2
    return {"first": first, "second": second}


@pytest.fixture
def blended(members, tmp_path):
    first = members["first"]
    nodes = {name: {"model": member.recipe.model} for name, member in members.items()}
    recipe = first.recipe.model_copy(update={"model": Blend.model_validate({"members": nodes, "rounds": 4})})
    card = first.card.model_copy(update={"code": {}, "members": {"first": 0.25, "second": 0.75}, "files": {}})
    folder = tmp_path / "blend"
    save(BlendBundle(card, recipe, members), folder)
    return folder


def change_card(folder, file="bundle.json", **values):
    card = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**card, **values}))


def seal(folder):
    """List the members' cards anew: whoever forges a bundle can do so."""
    card = json.loads((folder / "bundle.json").read_text())
    files = {name: sha256((folder / name).read_bytes()).hexdigest() for name in card["files"]}
    change_card(folder, files=files)


def test_it_is_calibrated_as_a_whole(blended, members):
    plain = load(blended).predict(FRAME, on_breach="allow")["probability"]
    calibration = {"method": "temperature", "slope": 2.0, "intercept": -1.0}
    change_card(blended, calibration=calibration)
    change_card(blended, file=MEMBER, calibration=calibration)
    seal(blended)

    found = load(blended)

    squared = (plain / (1 - plain)) ** 2 * 2.718281828459045**-1
    assert found.predict(FRAME, on_breach="allow")["probability"].to_list() == pytest.approx(
        (squared / (1 + squared)).to_list(), abs=1e-6
    )
    row = FRAME.row(0, named=True)
    assert found.measure_terms(row, 0) > 0


def test_it_predicts_the_mean_of_its_members_by_weight(blended, members):
    bundle = load(blended)
    own = {name: member.predict(FRAME)["probability"] for name, member in members.items()}

    predicted = bundle.predict(FRAME)

    assert predicted["probability"].to_list() == pytest.approx((own["first"] * 0.25 + own["second"] * 0.75).to_list())
    assert bundle.task == "binary"
    assert bundle.predict(FRAME.row(0, named=True))["probability"][0] == predicted["probability"][0]


def test_what_rounds_is_the_members_own_by_weight(blended, members):
    row = FRAME.row(0, named=True)

    expected = 0.25 * members["first"].measure_terms(row, 0) + 0.75 * members["second"].measure_terms(row, 0)

    assert load(blended).measure_terms(row, 0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (lambda f: (f / "members/second/network.pt").write_bytes(b"x"), r"second/network.pt is damaged"),
        (lambda f: shutil.rmtree(f / "members/first"), r"first/bundle.json"),
        (lambda f: (f / "members/other").mkdir(), r"members/other is not listed in bundle.json"),
        (lambda f: (f / "network.pt").write_bytes(b"x"), r"network.pt is not listed in bundle.json"),
        (lambda f: change_card(f, MEMBER, task="regression"), r"second/bundle.json is damaged"),
        (lambda f: change_card(f, members={"first": 0.25, "second": 0.7}), r"must add up to 1"),
        (lambda f: change_card(f, members={"../first": 1.0}), r"members"),
        (lambda f: change_card(f, members={}), r"must list the files"),
    ],
    ids=["weights", "no member", "another folder", "another file", "its card", "sum", "outside", "no members"],
)
def test_a_damaged_one_is_refused_with_the_file(blended, breaking, message):
    breaking(blended)

    with pytest.raises(TreadleError, match=message):
        load(blended)


def test_a_member_that_predicts_something_else_is_refused(blended):
    change_card(blended, MEMBER, columns={"age": "Int64"})
    seal(blended)

    with pytest.raises(TreadleError, match=r"second/bundle.json: columns must be that of the blend"):
        load(blended)


def test_a_blend_within_a_blend_is_refused(blended):
    shutil.rmtree(blended / "members" / "second")
    shutil.copytree(blended, blended / "members" / "second", ignore=shutil.ignore_patterns("second"))
    seal(blended)

    with pytest.raises(TreadleError, match=r"second/bundle.json: a member of a blend is no blend"):
        load(blended)


def test_the_members_code_is_compared_too(blended):
    code = json.loads((blended / MEMBER).read_text())["code"]
    change_card(blended, MEMBER, code={**code, "treadle.models.mlp": "0123456789abcdef"})
    seal(blended)

    with pytest.raises(TreadleError, match=r"other code than the installed: treadle.models.mlp"):
        load(blended)
    assert torch.isfinite(torch.tensor(load(blended, code="any").predict(FRAME)["probability"].to_list())).all()
