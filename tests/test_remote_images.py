"""Images at an address: fetched once, none of another place; what is absent is told, a refusal is raised."""

from datetime import datetime

import polars as pl
import pytest

pytest.importorskip("PIL")

from file_server import serve_files
from pictures import make_png
from treadle.data.contract import ContractError
from treadle.data.tables import read_table
from treadle.errors import TreadleError
from treadle.experiment.spec import Table
from treadle.remote_images import fetch_images

SECRET = "pa/ss w+rd"  # noqa: S105 - with characters that an address quotes
NAMES = ["a b.png", "./c?d.png"]


@pytest.fixture
def files():
    with serve_files() as served:
        for place, name in enumerate(("a%20b.png", "c%3Fd.png")):
            served.contents[f"/photos/{name}"] = make_png(seed=place)
        served.contents["/photos/cut.png"] = make_png(height=50, width=50)[:-900]
        served.contents["/other.png"] = make_png()
        yield served


def read(names, address, folder):
    return fetch_images(pl.Series("photo", names), address=address, copies=folder).to_list()


def test_each_image_is_fetched_once(files, tmp_path, monkeypatch):
    expected = [make_png(seed=0), make_png(seed=1)]

    assert read([*NAMES, None, " ", NAMES[0]], f"{files.url}/photos", tmp_path) == [*expected, None, None, expected[0]]
    assert files.count("GET") == 2

    monkeypatch.setenv("TREADLE_OFFLINE", "1")
    assert read(NAMES, f"{files.url}/photos/", tmp_path) == expected
    with pytest.raises(TreadleError, match=r"photos/cut\.png: was not fetched before, and TREADLE_OFFLINE is set"):
        read(["cut.png"], f"{files.url}/photos", tmp_path)
    assert files.count("GET") == 2


def test_a_column_may_hold_whole_addresses_below_the_declared_one(files, tmp_path):
    names = [
        f"{files.url}/photos/a%20b.png",
        f"{files.url}/other.png",
        f"{files.url}/photos/../other.png",
        "../other.png",
    ]

    found = read([*names, "http://192.0.2.1/photos/x.png"], f"{files.url}/photos", tmp_path)

    assert found[0] == make_png(seed=0)
    assert all(content.endswith(f": outside of {files.url}/photos".encode()) for content in found[1:])
    assert read(names[1:2], "http://", tmp_path) == [make_png()]  # any host
    assert b"outside" in read(["a.png"], "http://", tmp_path)[0]


def test_one_that_is_absent_or_broken_is_told_with_its_row(files, tmp_path):
    pl.DataFrame({"photo": [NAMES[0], "cut.png", "absent.png"]}).write_csv(tmp_path / "t.csv")
    column = {"dtype": "image", "folder": f"{files.url}/photos", "nullable": True}

    def make(**options):
        spec = Table.model_validate({"path": "t.csv", "columns": {"photo": {**column, **options}}})
        now = datetime(2026, 1, 1)  # noqa: DTZ001
        return read_table(spec, name="t", root=tmp_path, now=now, scratch=tmp_path).collect()["photo"].to_list()

    told = r"2 rows do not, such as row 2: .*/photos/cut\.png: .*truncated.*row 3: .*absent\.png: No such file"
    with pytest.raises(ContractError, match=told):
        make()
    assert make(unreadable="missing") == [make_png(seed=0), None, None]


def test_a_server_that_refuses_does_not_make_images_missing(files, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", SECRET)
    files.token = SECRET
    assert read(NAMES[:1], f"{files.url}/photos?token=$SECRET", tmp_path) == [make_png(seed=0)]

    monkeypatch.setenv("SECRET", "wrong-value")
    with pytest.raises(TreadleError, match=r"photos/c%3Fd\.png\?token=\$SECRET: cannot be read: .*401") as caught:
        read(NAMES[1:], f"{files.url}/photos?token=$SECRET", tmp_path)
    assert "wrong-value" not in str(caught.value)
    with pytest.raises(TreadleError, match="cannot be read"):
        read(["a.png"], "http://127.0.0.1:1/photos", tmp_path)
    with pytest.raises(ValueError, match="must hold no secret"):
        Table.model_validate({"path": "t.csv", "columns": {"p": {"dtype": "image", "folder": "https://a:b@host/x"}}})
