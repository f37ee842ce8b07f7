"""A bundle is safe to load: what somebody else wrote is refused in one line, soon, and nothing of it runs."""

import json
import shutil

import pytest
import torch

from bundle_mutants import MUTANTS, edit, sign
from treadle.bundle import load
from treadle.errors import TreadleError


def test_a_damaged_file_is_refused(copy):
    (copy / "network.pt").write_bytes((copy / "network.pt").read_bytes()[:-1] + b"x")

    with pytest.raises(TreadleError, match=r"network.pt is damaged"):
        load(copy)


def test_a_missing_file_is_named(copy):
    (copy / "network.pt").unlink()

    with pytest.raises(TreadleError, match=r"network.pt is missing in the bundle"):
        load(copy)


def test_a_file_may_lie_elsewhere_as_long_as_its_content_is_the_bundles_own(copy, tmp_path):
    for name in ("network.pt", "bundle.json"):
        shutil.move(copy / name, tmp_path / name)
        (copy / name).symlink_to(tmp_path / name)
    load(copy)

    (copy / "network.pt").unlink()
    (copy / "network.pt").symlink_to("/etc/passwd")
    with pytest.raises(TreadleError, match=r"network.pt is damaged"):
        load(copy)


def test_a_card_cannot_name_other_files(copy):
    edit(copy, "bundle.json", lambda card: card["files"].update({"../../secret": "0" * 64}))

    with pytest.raises(TreadleError, match="must list the files"):
        load(copy)


def test_a_bundle_of_an_older_treadle_is_refused_with_the_reason(copy):
    edit(copy, "bundle.json", lambda card: card.pop("format"))

    with pytest.raises(TreadleError, match="format must be 2, found null; train the model again"):
        load(copy)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "treadle.bundle.load",
        "treadle.models.mlp.nn.Linear",
        "treadle.features.stored.load_rows",
        "treadle.models.estimator.import_library",
    ],
)
def test_a_bundle_cannot_build_what_its_reader_does_not_allow(copy, target):
    given = {"name": "antigravity", "extra": ""} if target.endswith("import_library") else {}
    edit(copy, "experiment.json", lambda recipe: recipe.update(model={"_target_": target, **given}))

    with pytest.raises(TreadleError, match=r"outside the allowed|does not exist|is no class"):
        load(copy)


def test_weights_execute_nothing(copy, tmp_path):
    harm = tmp_path / "harm"

    class Harm:
        def __reduce__(self):
            return (open, (str(harm), "w"))

    torch.save({"x": Harm()}, copy / "network.pt")
    sign(copy)

    with pytest.raises(TreadleError, match=r"network.pt holds no tensors that can be read"):
        load(copy)
    assert not harm.exists()


@pytest.mark.sampled_cases(60)
@pytest.mark.fast_cases(12)
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_bundle_that_no_training_made_is_refused_in_one_line(copy, mutant):
    mutant.change(copy)

    with pytest.raises(TreadleError) as caught:
        load(copy, code="any")  # its maker would tell the code that fits

    told = str(caught.value)
    assert mutant.told in told
    assert len(told.splitlines()) == 1
    assert told.isprintable()
    assert len(told) < 1000


def test_the_unchanged_bundle_is_valid(copy):
    sign(copy)
    json.loads((copy / "bundle.json").read_text())

    load(copy)
