"""Columns of images: as bytes, in base64, as names of files; what breaks their contract is told with its row."""

from base64 import b64encode
from datetime import datetime

import polars as pl
import pytest

pytest.importorskip("PIL")

from pictures import make_png
from treadle.check.file_heads import check_files
from treadle.data.contract import ContractError
from treadle.data.tables import read_table
from treadle.experiment.identity import list_present_files
from treadle.experiment.spec import Table

CUT = make_png(height=50, width=50)[:-900]


def read(tmp_path, column, *, path="t.parquet"):
    spec = Table.model_validate({"path": path, "columns": {"picture": {"dtype": "image", **column}}})
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    now = datetime(2026, 1, 1)  # noqa: DTZ001
    return read_table(spec, name="t", root=tmp_path, now=now, scratch=scratch).collect()["picture"].to_list()


@pytest.fixture
def contents(tmp_path):
    """Two images, in a file of each kind that may hold them."""
    contents = [make_png(seed=1), make_png(seed=2)]
    pl.DataFrame({"picture": contents}).write_parquet(tmp_path / "t.parquet")
    pl.DataFrame({"picture": [b64encode(content).decode() for content in contents]}).write_csv(tmp_path / "t.csv")
    (tmp_path / "pictures").mkdir()
    for name, content in zip("ab", contents, strict=True):
        (tmp_path / "pictures" / f"{name}.png").write_bytes(content)
    pl.DataFrame({"picture": ["a.png", "./b.png"]}).write_csv(tmp_path / "named.csv")
    return contents


def test_bytes_texts_and_files_give_the_same_images(contents, tmp_path):
    size = {"height": 4, "width": 6, "channels": 1}

    assert read(tmp_path, size) == contents
    assert read(tmp_path, size, path="t.csv") == contents
    assert read(tmp_path, {**size, "folder": "pictures"}, path="named.csv") == contents


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ({}, r"columns\.picture: must be an image: PNG.*; 1 row does not, such as row 3: PNG of 50 x 50 pixels: .*"),
        ({"height": 5}, "must be an image of height 5; 2 rows do not, such as row 1: 4 x 6 pixels, gray, row 2"),
        ({"channels": 3}, "must be an image of channels 3; 2 rows do not"),
    ],
    ids=["corrupt", "height", "channels"],
)
def test_an_image_that_breaks_the_contract_is_told_with_its_row(contents, tmp_path, column, told):
    broken = [] if column else [CUT]
    pl.DataFrame({"picture": [*contents, *broken]}).write_parquet(tmp_path / "t.parquet")

    with pytest.raises(ContractError, match=told):
        read(tmp_path, column)


def test_a_file_that_is_no_image_is_told_with_its_name_and_may_count_as_missing(contents, tmp_path):
    (tmp_path / "pictures" / "c.png").write_bytes(CUT)
    pl.DataFrame({"picture": ["a.png", "c.png", "../t.parquet"]}).write_csv(tmp_path / "named.csv")
    column = {"folder": "pictures", "nullable": True}

    with pytest.raises(ContractError, match=r"2 rows do not, such as row 2: .*pictures/c\.png: .*, row 3: .*outside"):
        read(tmp_path, column, path="named.csv")
    assert read(tmp_path, {**column, "unreadable": "missing"}, path="named.csv") == [contents[0], None, None]


@pytest.mark.parametrize(
    ("folder", "files"),
    [("pictures", ["named.csv", "a.png", "b.png"]), ("https://images.example.org/cats", ["named.csv"])],
)
def test_files_that_a_column_names_belong_to_the_data_where_they_can_be_listed(contents, tmp_path, root, folder, files):
    from treadle.check.resolve import resolve

    experiment = resolve(overrides=["experiment=digits"], root=root).experiment
    column = experiment.data.tables["digits"].columns["image"].model_copy(update={"folder": folder})
    table = experiment.data.tables["digits"].model_copy(update={"path": "named.csv", "columns": {"picture": column}})
    data = experiment.data.model_copy(update={"tables": {"digits": table}})
    changed = experiment.model_copy(update={"data": data})

    assert [file.name for file in list_present_files(changed, tmp_path)] == files
    assert check_files(changed, root=tmp_path, absent="refuse") == []
