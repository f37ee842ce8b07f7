"""A table at an address, from the check to the examples: as from a file, and no secret is in any record."""

import pytest

from file_server import serve_files
from runs import treadle
from treadle import remote
from treadle.scaffold.init import Origin, fill
from treadle.scaffold.planning.plan import Request

SECRET = "planted-Secret-7"  # noqa: S105


@pytest.fixture
def files(root):
    with serve_files() as served:
        served.contents["/compas.parquet"] = (root / "data" / "compas" / "compas.parquet").read_bytes()
        yield served
        remote.forget()


@pytest.fixture
def folder(root, tmp_path, monkeypatch):
    (tmp_path / "conf").symlink_to(root / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_all(folder):
    return "".join(path.read_text(errors="ignore") for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_table_at_an_address_is_prepared_and_its_secret_is_in_no_record(files, folder, monkeypatch, capfd):
    monkeypatch.setenv("COMPAS_TOKEN", SECRET)
    files.token = SECRET
    path = f"data.tables.people.path='{files.url}/compas.parquet?token=$COMPAS_TOKEN'"

    assert treadle("compose", "experiment=compas", path, "-o", "resolved.yaml") == 0
    assert treadle("prepare", "--resolved", "resolved.yaml", "--folder", "artifacts") == 0

    assert (folder / "artifacts" / "examples" / "test.parquet").is_file()
    assert "$COMPAS_TOKEN" in (folder / "resolved.yaml").read_text()
    told = capfd.readouterr()
    assert SECRET not in read_all(folder) + told.out + told.err
    assert files.count("GET") == 1


@pytest.mark.slow
def test_a_secret_in_the_configuration_is_refused_and_not_repeated(files, folder, capfd):
    path = f"data.tables.people.path='{files.url}/compas.parquet?token={SECRET}'"

    for arguments in (["compose", "-o", "resolved.yaml"], ["check"], ["check", "--format", "json"]):
        assert treadle(*arguments, "experiment=compas", path) == 2

    told = capfd.readouterr()
    assert told.err.count("must hold no secret") + told.out.count("must hold no secret") == 3
    assert "token=***" in told.err
    assert SECRET not in told.out + told.err + read_all(folder)


def test_a_server_that_is_not_there_is_a_problem_of_the_path(folder, capfd):
    assert treadle("check", "experiment=compas", "data.tables.people.path='http://127.0.0.1:1/compas.parquet'") == 2

    told = capfd.readouterr().err
    assert "data.tables.people.path" in told
    assert "cannot be read: Cannot connect" in told


@pytest.mark.slow
def test_a_project_is_made_from_an_address(files, folder):
    made = folder / "made"
    made.mkdir()
    files.user = f"me:{SECRET}"
    address = files.url.replace("://", f"://me:{SECRET}@")
    fill(made, title="m", package="m", origin=Origin([f"{address}/compas.parquet"]), request=Request("two_year_recid"))

    assert sorted(path.name for path in (made / "data" / "m").iterdir()) == ["compas.parquet"]
    assert not list(made.glob("tmp*"))
    assert SECRET not in read_all(made)
