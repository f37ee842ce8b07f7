"""How a file of texts is written, found from its first lines."""

import pytest

from treadle.scaffold.reading.source import find_source


@pytest.mark.parametrize(
    ("name", "text", "header"),
    [
        ("t.csv", "price;y;n\n1,5;2,25;3,1\n1,5;2,25;3,1\n", ("price", "y", "n")),
        ("t.csv", "x;y\n1,5;2\n2,5;3\n", ("x", "y")),
        ("t.csv", "x;y\n1,5;2,5\n2,5;3,5\n", ("x", "y")),
        ("t.tsv", "x\ty\n0,123\t1\n0,456\t2\n", ("x", "y")),
        ("t.tsv", "x\n0,123\n0,456\n", ("x",)),
        ("t.csv", "a,b;c\n1,2\n3,4\n", ("a", "b;c")),
        ("t.csv", "²,b\n1,2\n3,4\n", ("²", "b")),
    ],
)
def test_the_separator_gives_the_header_as_many_fields_as_the_rows(tmp_path, name, text, header):
    (tmp_path / name).write_text(text, encoding="utf-8")

    assert find_source([str(tmp_path / name)]).header == header
