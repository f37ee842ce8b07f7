"""Mistakes in what an experiment hands to Lightning, found without importing it."""

import subprocess
import sys

import pytest

from runs import treadle

CONFIG = """\
defaults:
  - trainer: cpu
  - tracker: disabled
  - _self_
name: net
seed: 0
targets: [own_lightning., pytorch_lightning.]
learner: {_target_: own_lightning.Net, width: 4}
datamodule: {_target_: own_lightning.Rows, path: rows.csv}
depends: [rows.csv]
fit: {max_epochs: 1, monitor: val_loss, mode: min, early_stopping: null}
"""
CODE = """\
import pytorch_lightning as pl


class Net(pl.LightningModule):
    def __init__(self, width: int, rate: float = 0.1):
        super().__init__()


class Rows(pl.LightningDataModule):
    def __init__(self, path: str):
        super().__init__()


class Deeper(Net):
    pass


class Plain:
    pass
"""


@pytest.fixture
def checked(tmp_path, monkeypatch, capsys):
    """Checks a project with overrides; gives the exit code and what was printed."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(CONFIG)
    (tmp_path / "own_lightning.py").write_text(CODE)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def check(*overrides):
        code = treadle("check", *overrides)
        out = capsys.readouterr()
        return code, out.out + out.err

    return check


def test_a_valid_learner_passes_and_its_subclass_too(checked):
    assert checked() == (0, "net: OK\n")
    assert checked("learner._target_=own_lightning.Deeper")[0] == 0


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["learner.widht=4"], "learner.widht"),
        (["+learner.rat=0.2"], "does not take 'rat'"),
        (["learner.width=wide"], "width must be"),
        (["learner._target_=own_lightning.Plain", "~learner.width"], "is no LightningModule"),
        (["datamodule._target_=own_lightning.Net"], "is no LightningDataModule"),
        (["depends=[gone.csv]"], "no file at 'gone.csv'"),
        (["fit.mode=most"], "is not an allowed value"),
        (["~fit.monitor"], "this key is required"),
        (["+trainer.extra.max_epoch=3"], "does not take 'max_epoch'"),
        (["+trainer.extra.max_epoch=3"], "set fit.max_epochs"),
        (["+trainer.extra.max_epochs=3"], "set fit.max_epochs"),
        (["+trainer.extra.deterministic=[1]"], "deterministic must be"),
        (["+trainer.extra.enable_checkpointing=false"], "from which a killed run resumes"),
        (["trainer.compile=on"], "configure_model"),
        (["+callbacks.keep._target_=pytorch_lightning.callbacks.ModelCheckpoint"], "fit.monitor says by which metric"),
        (["+callbacks=[{_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: x}]"], "set fit.early_stopping"),
        (["+callbacks.swa={_target_: pytorch_lightning.callbacks.StochasticWeightAveraging, swa_lr: 1}"], "'swa_lr'"),
        (["+logger.wandb._target_=pytorch_lightning.loggers.WandbLogger"], "tracker=offline or tracker=online"),
        (["+model=mlp"], "an experiment of a learner has no model"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_told_with_its_fix(checked, overrides, told):
    code, text = checked(*overrides)

    assert code == 2
    assert told in text


def test_an_experiment_over_a_table_is_told_its_own_keys(project, capsys):
    overrides = ["targets=[treadle.,torch.optim.,pytorch_lightning.]", "+trainer.extra={gradient_clip_val: 1.0}"]
    overrides.append("+callbacks=[{_target_: pytorch_lightning.callbacks.ModelCheckpoint}]")

    assert treadle("check", *overrides) == 2

    told = capsys.readouterr().err
    assert "set schedule.gradient_clip" in told
    assert "schedule.monitor says by which metric" in told


def test_a_datamodule_whose_data_no_identity_knows_is_a_warning(checked):
    code, text = checked("depends=[]")

    assert code == 0
    assert "1 warning" in text
    assert "a run would count as the same after its data have changed" in text


def test_an_empty_addition_leaves_the_identity_as_it_was(project, capsys):
    """Experiments that are older than the keys keep their runs."""
    assert treadle("compose") == 0
    before = capsys.readouterr().out
    assert "callbacks" not in before
    assert "extra" not in before

    assert treadle("compose", "+callbacks={}", "+trainer.extra={}") == 0
    assert capsys.readouterr().out == before


@pytest.mark.slow
def test_the_check_imports_neither_torch_nor_lightning(checked, tmp_path):
    code = (
        "import sys; from treadle.cli.main import main; assert main(['check']) == 0; "
        "assert not {'torch', 'pytorch_lightning', 'own_lightning'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
