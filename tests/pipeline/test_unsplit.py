"""Runs whose split alone differs share their examples: built once, whatever is killed, damaged or removed."""

import shutil

import pytest

from drifting import make_visits_project
from treadle.check.resolve import resolve
from treadle.cli.main import main
from treadle.experiment.identity import sign_unsplit
from treadle.pipeline import run

SHARED = "prepare    splits the examples that the cache keeps"


@pytest.fixture
def prepare(tmp_path):
    """Prepares a project's examples with the test split from a day on; gives what was told, and the run's folder."""
    make_visits_project(tmp_path)

    def prepare(test_from, *, keeps_unsplit=False):
        told = []
        moved = ["experiment=visits", f"data.split.test_from='{test_from}'"]
        resolved = resolve(overrides=moved, root=tmp_path)
        done = run(resolved, root=tmp_path, upto="prepare", notify=told.append, keeps_unsplit=keeps_unsplit)
        return told, done.folder

    return prepare


def read(folder):
    return {file.name: file.read_bytes() for file in folder.examples.iterdir()}


def find_kept(folder):
    return [path for path in folder.path.parent.glob(".stages/examples/*") if path.is_dir()]


@pytest.mark.slow
def test_only_a_run_that_others_follow_keeps_its_examples(prepare):
    alone, folder = prepare("2020-04-01")
    assert not find_kept(folder)
    prepare("2020-05-01", keeps_unsplit=True)

    told, other = prepare("2020-06-01")

    assert SHARED not in alone
    assert SHARED in told
    assert len(find_kept(other)) == 1
    assert not other.unsplit.exists()


@pytest.mark.slow
def test_a_sample_is_drawn_of_the_same_examples_and_rules_make_others(root):
    signatures = {
        name: sign_unsplit(resolve(overrides=words, root=root), root=root)
        for name, words in {
            "all": ["experiment=adult"],
            "sample": ["experiment=adult", "+data.sample={by: uniform, rows: 100, seed: 0}"],
            "rules": ["experiment=adult", "data=adult_rules"],
        }.items()
    }

    assert signatures["sample"] == signatures["all"] != signatures["rules"]


def test_what_a_kill_left_is_not_read(prepare):
    _, folder = prepare("2020-04-01", keeps_unsplit=True)
    before = read(folder)
    (kept,) = find_kept(folder)
    kept.rename(kept.with_suffix(".tmp"))  # half published
    (kept.with_suffix(".tmp") / "unsplit/examples.parquet").unlink()
    shutil.rmtree(folder.examples)
    shutil.rmtree(folder.path.parent / ".stages/prepare")
    folder.unsplit.mkdir()
    (folder.unsplit / "examples.parquet").write_bytes(b"half")

    told, folder = prepare("2020-04-01", keeps_unsplit=True)

    assert SHARED not in told
    assert read(folder) == before
    assert [path.suffix for path in find_kept(folder)] == [""]


@pytest.mark.slow
def test_kept_examples_that_are_damaged_are_built_anew(prepare):
    _, folder = prepare("2020-04-01", keeps_unsplit=True)
    (kept,) = find_kept(folder)
    (kept / "unsplit/excluded.json").write_text("{}")

    told, _ = prepare("2020-05-01")

    assert any("damaged in the cache: unsplit/excluded.json does not hold what was written" in line for line in told)
    assert SHARED not in told


def test_no_run_needs_them_so_that_gc_removes_them(prepare, monkeypatch, capsys):
    _, folder = prepare("2020-04-01", keeps_unsplit=True)
    monkeypatch.chdir(folder.path.parent.parent)
    assert main(["verify"]) == 0
    assert "runs/.stages/examples/" in capsys.readouterr().out

    assert main(["gc", "--keep", "newest:9"]) == 0

    assert not find_kept(folder)
    assert read(folder)
