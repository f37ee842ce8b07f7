"""Bundles of git revisions, as DVC's cache keeps them."""

import json
import shutil
import subprocess

import pytest

from treadle.champions import bundles
from treadle.champions.bundles import find_by_digest, find_revision
from treadle.champions.ledger import Decision, append
from treadle.errors import TreadleError

LOCK = """schema: '2.0'
stages:
  train:
    cmd: treadle train
    outs:
    - path: artifacts/model
      md5: aa00.dir
    - path: artifacts/bundle
      md5: bb00.dir
"""


@pytest.fixture
def repository(tmp_path):
    cache = tmp_path / ".dvc" / "cache" / "files" / "md5"
    contents = {"cc01": "card", "dd02": "member"}
    listing = [{"md5": "cc01", "relpath": "bundle.json"}, {"md5": "dd02", "relpath": "members/a/bundle.json"}]
    for md5, text in {**contents, "bb00.dir": json.dumps(listing)}.items():
        (cache / md5[:2]).mkdir(parents=True)
        (cache / md5[:2] / md5[2:]).write_text(text)
    (tmp_path / "dvc.lock").write_text(LOCK)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "dvc.lock"], [*author, "commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "dvc.lock").write_text("stages: {}")
    return tmp_path


def test_the_bundle_of_a_revision_is_restored(repository):
    found = find_revision("v1", root=repository)

    files = {file.relative_to(found).as_posix(): file.read_text() for file in found.rglob("*.json")}
    assert files == {"bundle.json": "card", "members/a/bundle.json": "member"}
    assert find_revision("v1", root=repository) == found


def test_two_processes_restore_the_same_bundle_whole(repository, monkeypatch):
    """The second one begins and ends while the first is between two files."""
    copy = shutil.copyfile
    found = []

    def copy_late(source, into):
        copy(source, into)
        monkeypatch.setattr(bundles.shutil, "copyfile", copy)
        if not found:
            found.append(find_revision("v1", root=repository))

    monkeypatch.setattr(bundles.shutil, "copyfile", copy_late)

    found.append(find_revision("v1", root=repository))

    assert found[0] == found[1]
    assert sorted(file.read_text() for file in found[0].rglob("*.json")) == ["card", "member"]
    assert [file.name for file in found[0].parent.iterdir()] == ["bb00.dir"]


def test_a_bundle_that_the_cache_lost_is_told(repository):
    (repository / ".dvc" / "cache" / "files" / "md5" / "dd" / "02").unlink()

    with pytest.raises(TreadleError, match="the bundle of v1 is not in DVC's cache"):
        find_revision("v1", root=repository)


@pytest.mark.parametrize("revision", ["v2", "--help"])
def test_what_is_no_revision_is_told(repository, revision):
    with pytest.raises(TreadleError, match="is no run, no bundle, and no git revision"):
        find_revision(revision, root=repository)


def test_a_bundle_that_is_nowhere_is_told_also_where_its_artifact_is_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    evidence = {"artifact": "wandb:treadle/flights-1"}
    decision = Decision("t", "promote", "a" * 64, "runs/flights-1", {}, evidence, None, "me")
    history = append("flights", decision, expected=None, root=tmp_path)

    with pytest.raises(TreadleError) as caught:
        find_by_digest("a" * 64, history, root=tmp_path)

    assert "it came from runs/flights-1. Make that run again" in str(caught.value)
    assert "this machine has no account at W&B" in str(caught.value)
