"""Rows to predict that name files of images: they are read from the folder of the contract."""

import polars as pl
import pytest

pytest.importorskip("PIL")

from pictures import make_png
from treadle.bundle import read_rows, write_rows
from treadle.bundle.conform import conform_rows
from treadle.bundle.rows import scan_rows
from treadle.errors import TreadleError
from treadle.experiment.spec import Table


def test_names_in_a_file_of_rows_stand_for_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(make_png())
    column = {"dtype": "image", "folder": "photos", "source": "file"}
    table = Table.model_validate({"path": "any.csv", "columns": {"photo": column}})
    pl.DataFrame({"file": ["a.png", "absent.png"]}).write_csv("rows.csv")

    rows = read_rows(tmp_path / "rows.csv", table=table)

    assert conform_rows(rows.head(1), table.columns)["photo"].to_list() == [make_png()]
    write_rows(rows.head(1), tmp_path / "copy.csv")  # as base64, which needs no folder
    bytes_alone = Table.model_validate({"path": "any.csv", "columns": {"photo": {**column, "folder": None}}})
    again = conform_rows(read_rows(tmp_path / "copy.csv", table=bytes_alone), bytes_alone.columns)
    assert again["photo"].to_list() == [make_png()]
    with pytest.raises(TreadleError, match=r"row 2 holds photos/absent\.png: No such file"):
        conform_rows(rows, table.columns)
    with pytest.raises(TreadleError, match=r"row 1 holds 'a\.png'"):
        conform_rows({"photo": "a.png"}, table.columns)  # a row of Python's, or of a server's, names no file


def test_an_image_is_read_with_its_row_and_not_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = Table.model_validate({"path": "any.csv", "columns": {"photo": {"dtype": "image", "folder": "photos"}}})
    pl.DataFrame({"photo": ["absent.png", "late.png"]}).write_csv("rows.csv")

    with scan_rows(tmp_path / "rows.csv", table=table) as rows:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "late.png").write_bytes(make_png())

        assert rows.slice(1, 1).collect()["photo"].to_list() == [make_png()]
