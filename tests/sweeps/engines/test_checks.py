import pytest

from runs import QUICK
from treadle.problems import ConfigError
from treadle.sweeps.declare import declare
from treadle.sweeps.engines import checks

TINY = [word for word in QUICK if not word.startswith("evaluation.")]


@pytest.fixture
def make(project, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda _: True)
    return lambda *words: declare([*TINY, "seed=0,1", *words], root=project)


@pytest.mark.parametrize(
    ("words", "key", "said"),
    [
        (["sweep/engine=slurm"], "sweep.workers", "which says nothing about a queue"),
        (["sweep/engine=slurm", "sweep.workers=2", "sweep.engine.time=30s"], "sweep.engine.time", "counts minutes"),
        (["sweep/engine=ray", "sweep.engine.gpus=0.5"], "sweep.engine.gpus", "0.5 GPUs are asked for each trial"),
        (["sweep/engine=ray", "sweep.engine.cpus=none"], "sweep.engine.cpus", "number"),
        (["sweep/engine=slurm", "sweep.workers=2", "sweep.engine.partion=x"], "sweep.engine.partion", "unknown key"),
    ],
)
def test_what_no_engine_could_do_is_told_before_the_start(make, words, key, said):
    with pytest.raises(ConfigError) as caught:
        make(*words)
    assert [problem.key for problem in caught.value.problems] == [key]
    assert said in str(caught.value)


@pytest.mark.parametrize(("engine", "library"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_library_is_named_with_the_command_that_installs_it(make, monkeypatch, engine, library):
    monkeypatch.setattr(checks, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=f"needs {library}, which is not installed") as caught:
        make(f"sweep/engine={engine}", "sweep.workers=2")
    assert f"pip install 'treadle[{engine}]'" in str(caught.value)


@pytest.mark.slow
def test_a_gpu_of_a_cluster_is_not_looked_for_here(make):
    sweep = make("trainer=gpu", "trainer.devices=1", "sweep/engine=slurm", "sweep.workers=2", "sweep.engine.gpus=1")
    assert sweep.space.check({}, seed=0).trainer.accelerator == "gpu"


def test_where_a_sweep_runs_is_no_part_of_its_identity(make):
    assert make().name == make("sweep/engine=ray").name == make("sweep/engine=slurm", "sweep.workers=2").name
