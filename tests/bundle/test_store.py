"""A bundle is safe to load."""

import json
import shutil

import pytest
import torch
import yaml

from treadle.bundle import load
from treadle.schema import TreadleError


def rewrite_card(folder, **changes):
    card = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**card, **changes}))


def sign_anew(folder, name):
    import hashlib

    card = json.loads((folder / "bundle.json").read_text())
    card["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(card))


def test_a_damaged_file_is_refused(copy):
    (copy / "network.pt").write_bytes((copy / "network.pt").read_bytes()[:-1] + b"x")

    with pytest.raises(TreadleError, match=r"network.pt is damaged"):
        load(copy)


def test_a_missing_file_is_named(copy):
    (copy / "network.pt").unlink()

    with pytest.raises(TreadleError, match=r"network.pt is missing from the bundle"):
        load(copy)


def test_a_file_may_not_lead_out_of_the_bundle(copy, tmp_path):
    shutil.move(copy / "network.pt", tmp_path / "elsewhere.pt")
    (copy / "network.pt").symlink_to(tmp_path / "elsewhere.pt")

    with pytest.raises(TreadleError, match="leads out of its bundle"):
        load(copy)


def test_a_card_cannot_name_other_files(copy):
    card = json.loads((copy / "bundle.json").read_text())
    rewrite_card(copy, files={**card["files"], "../../secret": "0"})

    with pytest.raises(TreadleError, match="must list the files"):
        load(copy)


@pytest.mark.parametrize("target", ["os.system", "treadle.bundle.load", "treadle.models.mlp.nn.Linear"])
def test_a_bundle_cannot_build_what_its_reader_does_not_allow(copy, target):
    experiment = yaml.safe_load((copy / "experiment.yaml").read_text())
    experiment["model"] = {"_target_": target}
    experiment["targets"] = ["os.", "treadle."]
    (copy / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    sign_anew(copy, "experiment.yaml")

    with pytest.raises(TreadleError, match=r"outside the allowed|does not exist"):
        load(copy)


def test_yaml_and_weights_execute_nothing(copy, tmp_path):
    harm = tmp_path / "harm"
    (copy / "experiment.yaml").write_text(f"model: !!python/object/apply:os.system ['touch {harm}']\n")
    sign_anew(copy, "experiment.yaml")
    with pytest.raises(yaml.YAMLError):
        load(copy)

    class Harm:
        def __reduce__(self):
            return (open, (str(harm), "w"))

    shutil.rmtree(copy / "nothing", ignore_errors=True)
    torch.save({"x": Harm()}, copy / "network.pt")
    with pytest.raises(Exception, match=r"weights_only|Unsupported"):
        torch.load(copy / "network.pt", weights_only=True)
    assert not harm.exists()
