"""dvc.yaml depends on all that is read, or the selection is refused. (tests/test_dvc.py runs the real DVC.)"""

import shutil
import sys
from pathlib import Path

import pytest

from runs import forget_sources, treadle

pytestmark = pytest.mark.fast_cases(3)

ROOT = Path(__file__).parents[2]
WIDE = """
from torch import nn

from shared_layers import act


class Wide(nn.Module):
    def __init__(self, *, num_numeric, cardinalities, num_outputs, width: int): ...
"""


@pytest.fixture
def piped(project, monkeypatch):
    """A project with the pipeline, and a model of its own that imports another file of its own."""
    shutil.copyfile(ROOT / "dvc.yaml", project / "dvc.yaml")
    (project / "params.yaml").write_text("experiment: california\nmodel: wide\n")
    (project / "src").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(project / "src"), str(project)])
    forget_sources()
    yield project
    forget_sources()


def add_model(project, place):
    (project / place).mkdir(parents=True)
    (project / place / "wide.py").write_text(WIDE)
    (project / "conf/model/wide.yaml").write_text(f"_target_: {Path(place).name}.wide.Wide\nwidth: 8\n")
    config = project / "conf/config.yaml"
    config.write_text(config.read_text().replace("targets:\n", f"targets:\n  - {Path(place).name}.\n"))


@pytest.mark.slow
def test_own_code_that_dvc_does_not_watch_is_refused_until_it_does(piped, capsys):
    add_model(piped, "own_model")
    (piped / "shared_layers.py").write_text("act = None\n")

    assert treadle("check", "--selection", "params.yaml") == 2
    said = capsys.readouterr().err
    lines = (piped / "dvc.yaml").read_text().splitlines()
    assert f"dvc.yaml:{next(i for i, line in enumerate(lines, 1) if line.startswith('    deps:'))}:5" in said
    assert "'own_model' is code of this experiment, and DVC's stage 'compose' does not depend on it" in said
    assert "add shared_layers.py to the deps of compose" in said

    pipeline = (piped / "dvc.yaml").read_text()
    (piped / "dvc.yaml").write_text(pipeline.replace("conf, src", "conf, own_model, shared_layers.py, src"))
    assert treadle("compose", "--selection", "params.yaml", "--output", "resolved.yaml") == 0


@pytest.mark.slow
def test_own_code_in_src_is_watched(piped):
    add_model(piped, "src/own_model")
    (piped / "src" / "shared_layers.py").write_text("act = None\n")

    assert treadle("check", "--selection", "params.yaml") == 0


@pytest.mark.slow
def test_a_source_that_is_found_nowhere_is_a_mistake_of_the_selection(piped, capsys):
    add_model(piped, "src/own_model")

    assert treadle("check", "model=wide", "experiment=california") == 2

    said = capsys.readouterr().err
    assert "model._target_  conf/model/wide.yaml:1" in said
    assert "wide.py:4: imports 'shared_layers', which is found neither in the project nor installed" in said


@pytest.mark.slow
def test_a_bundle_that_training_reads_is_watched(piped, capsys):
    """Otherwise `dvc repro` would go on with the digest of the bundle before."""
    shutil.copytree(ROOT / "tests/golden/teacher", piped / "teachers/flights/bundle")
    (piped / "params.yaml").write_text("experiment: flights_student\nset: {loss: {teacher: teachers/flights}}\n")

    assert treadle("check", "--selection", "params.yaml") == 2
    said = capsys.readouterr().err
    assert "'teachers/flights/bundle' is the bundle of loss.teacher, and DVC's stage 'compose' does not" in said
    assert "add teachers/flights/bundle to the deps of compose; where DVC ignores its folder" in said

    pipeline = (piped / "dvc.yaml").read_text()
    (piped / "dvc.yaml").write_text(pipeline.replace("conf, src", "conf, teachers, src"))
    assert treadle("check", "--selection", "params.yaml") == 0


COMPOSE = " treadle compose --selection params.yaml --output resolved.yaml --slices artifacts/slices"


@pytest.mark.slow
@pytest.mark.sampled_cases(3)
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("prepare.yaml, data]", "prepare.yaml]", "california.parquet' is data of this experiment"),
        ("artifacts/slices/train.yaml, ", "", "'artifacts/slices/train.yaml' is the configuration and the code of the"),
        (" --slices artifacts/slices", "", "stage 'compose' does not write the files that the other stages depend on"),
        ("artifacts/slices/train.yaml, ", "artifacts/slices, ", None),
        ("[params.yaml, conf, src, data]", "[params.yaml, conf]", None),
        (COMPOSE, f"\n      - echo begin\n      -{COMPOSE}", None),
        (COMPOSE, f" |\n     {COMPOSE}\n      treadle check", None),
        (" --slices artifacts/slices", " --slices 'artifacts/slices'", None),
    ],
    ids=[
        "data",
        "a slice",
        "no slices",
        "a folder that holds the file",
        "code that is not there",
        "several commands",
        "several lines",
        "quotes",
    ],
)
def test_every_stage_of_dvc_reads_what_ours_do(piped, capsys, old, new, told):
    (piped / "params.yaml").write_text("experiment: california\n")
    pipeline = (piped / "dvc.yaml").read_text()
    assert old in pipeline
    (piped / "dvc.yaml").write_text(pipeline.replace(old, new))

    assert treadle("check", "--selection", "params.yaml") == (0 if told is None else 2)

    assert (told or "") in capsys.readouterr().err


def test_the_pipeline_that_ships_is_whole(piped):
    (piped / "params.yaml").write_text("experiment: california\n")

    assert treadle("check", "--selection", "params.yaml") == 0
