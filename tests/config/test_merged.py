"""Files of conf/ that were merged before: as new, while they are the same."""

import os
from collections import OrderedDict

import pytest

from treadle.config import merged
from treadle.config.compose import compose


@pytest.mark.slow
def test_what_was_merged_before_is_what_hydra_merges_anew(project, monkeypatch):
    compose(overrides=["model=mlp", "model.width=7", "~seed"], root=project)
    before = len(merged.KEPT)

    again = compose(overrides=["model=mlp"], root=project)

    assert len(merged.KEPT) == before
    monkeypatch.setattr(merged, "KEPT", OrderedDict())
    assert again == compose(overrides=["model=mlp"], root=project)


@pytest.mark.slow
def test_an_edit_that_leaves_size_and_time_of_a_file_is_seen(project):
    file = project / "conf" / "model" / "mlp.yaml"
    file.write_text("_target_: treadle.models.mlp.Mlp\nwidth: 16\n")
    compose(overrides=["model=mlp"], root=project)
    time = file.stat().st_mtime_ns

    file.write_text(file.read_text().replace("16", "32"))
    os.utime(file, ns=(time, time))

    assert compose(overrides=["model=mlp"], root=project).values["model"]["width"] == 32


@pytest.mark.slow
def test_a_file_that_is_new_takes_the_place_of_the_shipped_one(project):
    (project / "conf" / "model" / "mlp.yaml").unlink()
    shipped = compose(overrides=["model=mlp"], root=project).values["model"]["width"]

    (project / "conf" / "model" / "mlp.yaml").write_text(f"_target_: treadle.models.mlp.Mlp\nwidth: {shipped + 1}\n")

    assert compose(overrides=["model=mlp"], root=project).values["model"]["width"] == shipped + 1


@pytest.mark.slow
def test_a_variable_of_the_environment_that_chooses_a_file_is_read_anew(project, monkeypatch):
    file = project / "conf" / "experiment" / "chosen.yaml"
    file.write_text("# @package _global_\ndefaults:\n  - override /model: ${oc.env:OUR_MODEL}\nname: chosen\n")

    for name in ("mlp", "linear"):
        monkeypatch.setenv("OUR_MODEL", name)
        assert compose(overrides=["experiment=chosen"], root=project).choices["model"] == name
