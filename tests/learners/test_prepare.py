"""Data that are not there yet, and that the datamodule's `prepare_data` writes, as in every tutorial."""

import shutil

import pytest

from runs import find_run, treadle


@pytest.fixture
def absent_images(lightning_project):
    """A project whose data lie elsewhere; gives their place."""
    source = lightning_project / "elsewhere.parquet"
    shutil.move(lightning_project / "images" / "digits.parquet", source)
    (lightning_project / "images" / ".gitkeep").touch()
    config = lightning_project / "conf" / "config.yaml"
    text = config.read_text().replace(".Digits\n", f".FetchedDigits\n  source: {source}\n")
    config.write_text(text.replace("max_epochs: 3", "max_epochs: 1"))
    return source


@pytest.mark.slow
def test_absent_data_are_written_before_they_identify_the_run(absent_images, lightning_project, capsys):
    assert treadle("check") == 0
    assert treadle("run", "--why") == 2
    assert "`treadle prepare` lets prepare_data write its own" in capsys.readouterr().err
    assert not (lightning_project / "images" / "digits.parquet").exists()

    assert treadle("train") == 0
    assert "prepare_data of lightning_digits.FetchedDigits writes it" in capsys.readouterr().out

    first = find_run(lightning_project)
    assert treadle("train") == 0
    assert capsys.readouterr().out == f"unchanged  {first.relative_to(lightning_project)}\n"


def test_a_path_that_prepare_data_does_not_write_is_told(absent_images, capsys):
    assert treadle("prepare", "depends=[picures]") == 2
    told = capsys.readouterr().err
    assert "prepare_data of lightning_digits.FetchedDigits has run, and there is no file at 'picures'" in told
    assert len(told.splitlines()) == 1


def test_an_absent_path_that_nothing_writes_is_refused_by_the_check(absent_images, capsys):
    assert treadle("check", "datamodule._target_=lightning_digits.Digits", "~datamodule.source") == 2
    assert "no file at 'images'" in capsys.readouterr().err
