"""Targets are built within the allow-list; one whose own code fails is reported with key, place and traceback."""

import functools
import sys

import pytest

from runs import QUICK, forget_sources, treadle
from treadle.check.checks import check
from treadle.check.resolve import resolve
from treadle.config.compose import compose
from treadle.errors import TreadleError
from treadle.problems import ConfigError
from treadle.targets.build import BuildError, build

pytestmark = pytest.mark.fast_cases(2)

TARGETS = ["treadle.models.", "treadle.training.", "mine."]
NET = """\
from torch import nn


def halve(width):
    return 1 / (width - 64)


class Net(nn.Module):
    def __init__(self, *, num_numeric, cardinalities, num_outputs, width: int):
        super().__init__()
        self.half = halve(width)


def make_cost(power: int):
    return lambda output, target: (output.squeeze(-1) - target).abs() ** power
"""


@pytest.fixture
def mine(project, monkeypatch):
    """A package of the user's own, whose class fails for one width."""
    forget_sources()
    (project / "mine").mkdir()
    (project / "mine" / "__init__.py").touch()
    (project / "mine" / "net.py").write_text(NET)
    (project / "mine" / "late.py").write_text(
        "from torch import nn\n\nSIZES = {}['none']\n\n\nclass Net(nn.Module): ...\n"
    )
    config = project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("- torch.optim.", "- mine.\n  - torch.optim."))
    (project / "conf" / "model" / "net.yaml").write_text("# An own model.\n_target_: mine.net.Net\nwidth: 64\n")
    monkeypatch.syspath_prepend(project)
    yield project
    for name in ("mine", "mine.net", "mine.late"):
        sys.modules.pop(name, None)
    forget_sources()


def test_a_nested_target_is_built_first_and_a_partial_one_left_open():
    schedule = {"_target_": "treadle.training.schedules.constant", "warmup": 0.0}
    now, later = {**schedule, "num_steps": 10}, {**schedule, "_partial_": True}
    node = {"_target_": "treadle.training.scaling.Scaling", "mean": now, "scale": later}

    built = build(node, key="loss.function", targets=TARGETS)

    assert built.mean(3) == 1.0
    assert isinstance(built.scale, functools.partial)
    assert built.scale(num_steps=10)(3) == 1.0


@pytest.mark.parametrize("partial", [True, False])
def test_partial_has_no_effect_where_treadle_calls_the_target(partial):
    schedule = {"_target_": "treadle.training.schedules.constant", "_partial_": partial, "warmup": 0.0}

    built = build(schedule, key="schedule.lr_schedule", targets=TARGETS, num_steps=10)

    assert built(3) == 1.0


@pytest.mark.parametrize("partial", ["true", "false"])
def test_an_optimizer_may_be_written_as_for_hydras_instantiate(root, partial):
    """Its arguments are checked all the same."""
    check(compose(overrides=[*QUICK, f"+schedule.optimizer._partial_={partial}"], root=root))

    cosine = "schedule.lr_schedule._target_=treadle.training.schedules.cosine"
    with pytest.raises(ConfigError, match=r"cosine needs the argument 'warmup'"):
        check(compose(overrides=[*QUICK, cosine, f"+schedule.lr_schedule._partial_={partial}"], root=root))


def test_a_nested_target_that_waits_for_arguments_of_treadle_is_left_open_for_its_holder():
    net = {"_target_": "treadle.models.mlp.Mlp", "num_layers": 1, "width": 8, "dropout": 0.0, "embedding_dim": 2}
    node = {"_target_": "treadle.models.ensemble.Ensemble", "members": 2, "member": net}

    built = build(node, key="model", targets=TARGETS, num_numeric=3, cardinalities=[], num_outputs=4)

    assert [member.head.out_features for member in built.members] == [4, 4]


@pytest.mark.parametrize(
    "path", ["os.system", "treadle.models.mlp.torch", "treadle.models.mlp.make_layers.__globals__"]
)
def test_what_is_not_allowed_is_not_built(path):
    with pytest.raises(TreadleError, match=r"model: the target"):
        build({"_target_": path}, key="model", targets=TARGETS)


@pytest.mark.slow
def test_a_failing_constructor_names_key_file_and_line_and_shows_the_users_own_traceback(mine, capsys):
    assert treadle("run", *QUICK[2:], "experiment=california", "model=net", "~model.width", "+model.width=64") == 2

    told = capsys.readouterr().err
    assert "'mine.net.Net' failed when it was built" in told
    assert "  model  conf/model/net.yaml:2:11" in told
    assert "ZeroDivisionError: division by zero" in told
    assert f'File "{mine}/mine/net.py", line 5, in halve' in told
    assert "build.py" not in told
    assert "pipeline.py" not in told


def test_a_module_that_fails_when_it_is_imported_is_reported_alike(mine, capsys):
    assert treadle("run", "experiment=california", "model=net", "model._target_=mine.late.Net", "~model.width") == 2

    told = capsys.readouterr().err
    assert "model  override 3: 'model._target_=mine.late.Net'" in told
    assert "KeyError: 'none'" in told
    assert f'File "{mine}/mine/late.py", line 3, in <module>' in told


def test_nothing_half_written_remains(mine):
    treadle("run", "experiment=california", "model=net")

    (run,) = mine.glob("runs/california-*")
    assert not (run / "bundle").exists()
    assert not (run / "model").exists()
    assert not list(mine.glob("runs/.stages/train/*/"))


def test_a_stage_of_dvc_names_the_place_in_resolved_yaml(mine, capsys):
    assert treadle("compose", "experiment=california", "model=net", "-o", "resolved.yaml") == 0
    for stage in ("prepare", "featurize"):
        assert treadle(stage, "--resolved", "resolved.yaml", "--folder", "artifacts") == 0

    assert treadle("train", "--resolved", "resolved.yaml", "--folder", "artifacts") == 2

    told = capsys.readouterr().err
    line = (mine / "resolved.yaml").read_text().splitlines().index("model:") + 2
    assert f"model  resolved.yaml:{line}:13" in told


def test_an_error_keeps_its_cause():
    with pytest.raises(BuildError) as caught:
        build({"_target_": "treadle.models.linear.Linear"}, key="model", targets=TARGETS, num_numeric="x")

    assert isinstance(caught.value.__cause__, TypeError)


def test_a_target_is_handed_what_it_takes_of_what_treadle_knows(mine):
    loss = build({"_target_": "mine.net.make_cost", "power": 1}, key="loss.function", targets=TARGETS, task="binary")
    task = build({"_target_": "treadle.training.losses.TaskLoss"}, key="loss.function", targets=TARGETS, task="binary")

    assert callable(loss)
    assert task.task == "binary"


def test_a_target_that_does_not_take_what_it_must_is_refused(mine):
    with pytest.raises(ConfigError, match=r"must take the argument 'params', which Treadle passes to it"):
        resolve(overrides=["schedule.optimizer._target_=mine.net.make_cost"], root=mine)


def test_an_own_loss_need_not_take_the_task(mine):
    resolve(overrides=["loss.function._target_=mine.net.make_cost", "+loss.function.power=1"], root=mine)
