"""A file is written whole, and never through a link into a cache."""

import os

import pytest

from treadle.disk import replacing, write_text


@pytest.fixture
def cached(tmp_path):
    """As DVC links: a file of its cache, which nobody may write."""
    file = tmp_path / "cache" / "0123abcd"
    file.parent.mkdir()
    file.write_text("of the cache")
    file.chmod(0o444)
    return file


@pytest.mark.parametrize("make_link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_link_into_a_cache_gives_way(tmp_path, cached, make_link):
    if make_link is os.link and os.geteuid() != 0:
        pytest.skip("a hard link is write-protected itself, and refused")
    out = tmp_path / "out.csv"
    make_link(cached, out)

    write_text(out, "new")

    assert (out.read_text(), cached.read_text()) == ("new", "of the cache")
    assert not out.is_symlink()


def test_what_takes_the_place_of_a_link_can_be_written_again(tmp_path, cached):
    out = tmp_path / "out.csv"
    out.symlink_to(cached)
    write_text(out, "new")

    assert out.stat().st_mode & 0o200


def test_another_link_stays_one(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    link.symlink_to(file)

    write_text(link, "new")

    assert link.is_symlink()
    assert file.read_text() == "new"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")

    with pytest.raises(RuntimeError), replacing(file) as partial:  # noqa: PT012
        partial.write_text("half")
        raise RuntimeError

    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
