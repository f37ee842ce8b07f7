import pytest

from runs import QUICK, treadle
from treadle.problems import ConfigError
from treadle.sweeps import space
from treadle.sweeps.axes import Replicate
from treadle.sweeps.declaration import read, write
from treadle.sweeps.declare import declare
from treadle.sweeps.ledger import Ledger
from treadle.sweeps.plan import Plan

TINY = [word for word in QUICK if not word.startswith("evaluation.")]


def make(project, *words):
    return declare([*TINY, *words], root=project)


@pytest.mark.slow
def test_the_same_space_is_the_same_sweep(project):
    first = make(project, "model.width=16,32", "seed=range(2)")
    assert make(project, "seed=0,1", "model.width=32,16").name == first.name
    assert make(project, "model.width=16,32", "seed=range(2)", "sweep.workers=1", "sweep.retries=2").name == first.name
    assert make(project, "model.width=16,64", "seed=range(2)").name != first.name
    assert make(project, "model.width=16,32", "seed=range(2)", "schedule.max_epochs=3").name != first.name
    assert first.seeds == (0, 1)


@pytest.mark.slow
def test_seeds_start_at_the_seed_of_the_experiment(project):
    first = make(project, "model.width=16,32", "seed=7")
    assert first.seeds == (7,)
    assert first.name != make(project, "model.width=16,32").name
    assert make(project, "model.width=16,32", "seed=7", "sweep.seeds=3").seeds == (7, 8, 9)


@pytest.mark.parametrize("word", ["-1", "half", "null"])
def test_a_wrong_seed_of_the_whole_sweep_is_reported(project, word):
    with pytest.raises(ConfigError, match="seed"):
        make(project, "model.width=16,32", f"seed={word}")


@pytest.mark.slow
def test_a_key_of_one_model_is_swept_there_alone(project):
    words = [word for word in TINY if not word.startswith("model")]
    sweep = declare([*words, "model=mlp,linear", "model.num_layers=1,2"], root=project)
    assert list(sweep.space.list_grid()) == [
        {"model": "mlp", "model.num_layers": "1"},
        {"model": "mlp", "model.num_layers": "2"},
        {"model": "linear"},
    ]


@pytest.mark.slow
def test_a_space_in_a_file_and_the_command_line_on_top(project):
    (project / "conf/sweep/mine.yaml").write_text(
        "defaults: [base, _self_]\nspace:\n  model.width: [16, 32]\n"
        "  schedule.optimizer.lr: tag(log, interval(1e-4, 1e-2))\nseeds: 2\n"
    )
    sweep = make(project, "sweep=mine")
    assert [axis.key for axis in sweep.space.axes] == ["model.width", "schedule.optimizer.lr"]
    assert (sweep.settings.sampler, sweep.seeds) == ("tpe", (0, 1))
    sweep = make(project, "sweep=mine", "schedule.optimizer.lr=1e-3,1e-4", "seed=5,6,7")
    assert (sweep.settings.sampler, sweep.seeds) == ("grid", (5, 6, 7))


@pytest.mark.slow
def test_what_is_written_is_read_again_whatever_becomes_of_conf(project):
    sweep = make(project, "model.width=int(interval(8,64))", "model.num_layers=1,2", "sweep=random")
    write(sweep)
    for file in (project / "conf").rglob("*.yaml"):
        file.unlink()
    again = read(sweep.folder, root=project)
    setting = {"model.width": "12", "model.num_layers": "1"}
    assert again.space.freeze(setting, seed=3).dump() == sweep.space.freeze(setting, seed=3).dump()
    assert (again.seeds, again.objectives, again.space.axes) == (sweep.seeds, sweep.objectives, sweep.space.axes)


@pytest.mark.slow
def test_a_model_that_a_rule_chooses_is_chosen_as_conf_was_at_the_start(project):
    """Its candidates are part of what is composed."""
    tiny = [word for word in TINY if not word.startswith("model")]
    sweep = declare([*tiny, "model=auto", "schedule.max_epochs=1,2"], root=project)
    write(sweep)
    setting = sweep.list_grid()[0]
    before = sweep.space.freeze(setting, seed=0)
    assert before.experiment.model_choice is not None
    for file in (project / "conf" / "model").glob("*.yaml"):
        file.unlink()
    for kept in (sweep, read(sweep.folder, root=project)):
        assert kept.space.freeze(setting, seed=0).values == before.values


def test_a_frozen_trial_is_what_the_command_would_run(project):
    from treadle.check.resolve import resolve

    frozen = make(project, "model.width=16,32").space.freeze({"model.width": "32"}, seed=4)
    words = [word for word in TINY if not word.startswith("model.width")]
    assert frozen == resolve(overrides=[*words, "model.width=32", "seed=4"], root=project)


@pytest.mark.sampled_cases(5)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.widht=16,32"], "unknown key 'model.widht'"),
        (["model.width=16,-3"], "model.width=-3"),
        (
            ["model.width=int(interval(8,64))", "sweep.sampler=grid"],
            "a grid lists its values, and model.width is an interval",
        ),
        (["model.width=16,32", "sweep.objective=auc"], "'auc' is no validation metric of a regression task"),
        (["seed=0", "model.width=16"], "there is nothing to sweep over"),
        (["model.width=16,32", "trainer.devices=2"], "a trial is one process, and trainer asks for 2"),
        (["seed=0,1", "sweep.objective=[rmse,mae]", "sweep.pruner=median"], "'median' stops trials by one objective"),
        (["model.width=tag(log,interval(0,4))"], "a logarithmic interval begins above 0"),
        (["loss=default,nope"], "'nope' is not an option of the group 'loss'"),
        (["data.task=regression,binary"], "conf/evaluation/regression.yaml:3:9"),
        (["sweep.workers=1,2", "seed=0,1"], "'sweep.workers' says how the sweep runs"),
        (["trainer.devices=1,2"], "a trial is one process, and trainer asks for 2"),
        (["schedule.max_epochs=choice(1,2),3"], "'schedule.max_epochs=choice(1,2),3' is no"),
        (["seed=0,1", "sweep.pruner=median"], "'median' stops trials of a search, and a grid runs each to its end"),
        (["model.width=16,32", "seed=a,b"], "a, b: no seed"),
        (["seed=1.5,2"], "override 6: 'seed=1.5,2'\n    1.5: no seed"),
        (["seed=interval(1,5)"], "seeds are listed, since each repeats every setting; found an interval 1 to 5"),
        (["+sweep.space={seed: [-1, 2]}"], "-1: no seed"),
        (["+sweep.space={model.width: 16}"], "gives one value"),
    ],
)
def test_a_mistake_is_reported_before_the_first_trial(project, words, said):
    with pytest.raises(ConfigError) as caught:
        make(project, *words)
    assert said in str(caught.value)
    assert not (project / "sweeps").exists()


def test_each_setting_of_a_grid_is_checked(project):
    with pytest.raises(ConfigError) as caught:
        make(project, "model.width=16,32,0", "schedule.batch_size=64,0")
    assert {problem.key for problem in caught.value.problems} == {"model.width", "schedule.batch_size"}


@pytest.mark.sampled_cases(3)
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra/launcher=joblib", "sweep.workers"),
        ("hydra/launcher=submitit_slurm", "sweep/engine=slurm"),
        ("hydra/launcher=ray", "sweep/engine=ray"),
        ("hydra.launcher.partition=gpu", "sweep.engine.partition does it, with sweep/engine=slurm"),
        ("hydra.launcher.timeout_min=60", "sweep.engine.time"),
        ("hydra/sweeper=optuna", "sweep=tpe"),
        ("hydra.sweeper.n_jobs=2", "sweep=tpe"),
    ],
)
def test_hydras_own_words_for_it_are_told_in_ours(project, capsys, word, said):
    assert treadle("run", "-m", *TINY, "seed=0,1", word) == 2
    assert said in capsys.readouterr().err


def test_values_for_a_sweep_without_m_are_told_so(project, capsys):
    assert treadle("check", *TINY, "seed=0,1") == 2
    assert "run -m" in capsys.readouterr().err


def test_of_settings_that_are_added_together_only_the_invalid_one_fails(project):
    sweep = make(project, "model.width=16,32", "seed=0,1")
    write(sweep)
    told = []
    plan = Plan(sweep, Ledger(sweep.folder), project, lambda _, trial: told.append(trial.number))
    repeats = [({"model.width": width}, Replicate(0)) for width in ("16", "-1")]
    plan._add(repeats, "search", None)  # noqa: SLF001 - as a search would
    assert [trial.state for trial in plan.ledger.trials.values()] == ["waiting", "failed"]
    assert "model.width" in plan.ledger.trials[2].error
    assert told == [2]


def test_a_setting_of_a_grid_is_checked_once_before_the_start(project, monkeypatch):
    checked, check = [], space.check
    monkeypatch.setattr(space, "check", lambda composed: checked.append(composed) or check(composed))
    sweep = make(project, "model.width=range(8,18)")
    write(sweep)

    Plan(sweep, Ledger(sweep.folder), project, lambda *_: None).add_grid()

    assert len(checked) == 10 + 1  # the first one tells the settings of the sweep
