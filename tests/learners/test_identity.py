"""What changes the run of a learner: its values, its code, its data; and what does not."""

from pathlib import Path

import polars as pl
import pytest

from runs import forget_sources
from treadle.check.resolve import resolve
from treadle.experiment.identity import name_run, sign_stages
from treadle.experiment.resolved import read
from treadle.experiment.stages import list_needed

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def identify(lightning_project):
    def name(*overrides):
        resolved = resolve(overrides=list(overrides), root=lightning_project)
        return name_run(resolved, sign_stages(resolved, root=lightning_project))

    return name


def test_what_can_change_a_result_makes_another_run(identify):
    overrides = [
        "seed=1",
        "learner.channels=5",
        "+learner.optimizer.lr=0.1",
        "+datamodule.batch_size=8",
        "fit.max_epochs=4",
        "fit.mode=min",
        "trainer.precision=bf16-mixed",
        "+trainer.extra={gradient_clip_val: 1.0}",
        "+callbacks.timer={_target_: pytorch_lightning.callbacks.Timer}",
    ]
    names = [identify(), *map(identify, overrides)]

    assert len(set(names)) == len(names)


def test_what_records_and_what_compares_does_not(identify):
    logger = "+logger.table={_target_: pytorch_lightning.loggers.CSVLogger}"
    assert identify(logger, "~fit.metrics", "tracker=offline", "name=other").replace("other", "digits") == identify()


def test_other_data_make_another_run_also_where_a_file_is_added(identify, lightning_project):
    first = identify()
    (lightning_project / "images" / ".gitignore").write_text("/digits.parquet")  # as `dvc add` does
    assert identify() == first
    (lightning_project / "images" / "more.txt").write_text("1")
    second = identify()
    pl.read_parquet("images/digits.parquet").head(99).write_parquet("images/digits.parquet")

    assert len({first, second, identify()}) == 3


@pytest.mark.slow
def test_an_edit_of_the_learner_makes_another_run_and_one_of_a_comment_does_not(
    identify, lightning_project, monkeypatch
):
    text = (SUPPORT / "lightning_digits.py").read_text()
    own = lightning_project / "edited_digits.py"
    monkeypatch.syspath_prepend(lightning_project)
    config = lightning_project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("lightning_digits.", "edited_digits."))
    own.write_text(text)
    first = identify()

    own.write_text(text.replace("nn.Flatten(),", "nn.Flatten(),  # images to rows"))
    forget_sources()
    assert identify() == first
    own.write_text(text.replace("Dropout(0.1)", "Dropout(0.2)"))
    forget_sources()
    assert identify() != first


def test_a_frozen_learner_is_read_again_and_has_two_stages(lightning_project):
    resolved = resolve(overrides=[], root=lightning_project)
    file = lightning_project / "resolved.yaml"
    file.write_text(resolved.dump())

    assert read(file).values == resolved.values
    assert [stage.name for stage in list_needed("evaluate", resolved.values)] == ["train", "evaluate"]
