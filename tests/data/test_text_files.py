"""The head of a text file is what the whole file begins with: the check and the stage `prepare` see the same."""

import polars as pl
import pytest

from treadle.data.text_files import HEAD_BYTES, find_ragged, read_head, scan_text
from treadle.errors import TreadleError
from treadle.experiment.spec import Table


def table_of(**options):
    return Table.model_validate({"path": "t.csv", "columns": {"a": {"dtype": "str"}}, **options})


MESSY = {
    "duplicates": ("a,a,a,,\n1,2,3,4,5\n", {}),
    "blank lines": ("a,b\n\n1,2\n\n\n3,4\n", {}),
    "quotes": ('"a ""x""","b\nc"\n"1\n2","3""4"\n', {}),
    "semicolons": ("a;b\n1,5;2\n", {"separator": ";"}),
    "latin-1": ("ä,b\nfür,2\n", {"encoding": "latin-1"}),
    "utf-16": ("ä,b\nfür,€\n", {"encoding": "utf-16"}),
    "header alone": ("a,b\n", {}),
    "one column": ("a\n1\n\n2\n", {}),
}


@pytest.mark.parametrize("name", MESSY)
def test_the_head_is_what_the_file_begins_with(tmp_path, name):
    text, options = MESSY[name]
    table = table_of(**options)
    (tmp_path / "t.csv").write_bytes(text.encode(table.encoding))

    whole = scan_text(tmp_path / "t.csv", table, scratch=tmp_path).collect()

    assert read_head(tmp_path / "t.csv", table, num_rows=100).equals(whole)


def test_repeated_names_of_a_header_are_numbered(tmp_path):
    (tmp_path / "t.csv").write_text(MESSY["duplicates"][0])

    names = read_head(tmp_path / "t.csv", table_of(), num_rows=1).columns

    assert names == ["a", "a_duplicated_0", "a_duplicated_1", "", "_duplicated_0"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_long_file_is_cut_between_rows(tmp_path, encoding):
    table = table_of(encoding=encoding)
    row = f'"{"ü" * 50_000}\n{"x" * 50_000}",2\n'
    with (tmp_path / "t.csv").open("w", encoding=encoding) as stream:
        stream.write("a,b\n")
        stream.writelines(row for _ in range(HEAD_BYTES // 100_000))

    head = read_head(tmp_path / "t.csv", table, num_rows=3)

    assert (tmp_path / "t.csv").stat().st_size > HEAD_BYTES
    assert head["b"].to_list() == ["2", "2", "2"]
    assert head["a"].str.len_chars().to_list() == [100_001] * 3


def test_a_byte_in_the_middle_of_the_head_that_is_no_utf_8_is_reported_with_its_line(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n\xe4,2\n")

    with pytest.raises(TreadleError, match=r"line 3: not UTF-8, found b'\\xe4,2"):
        read_head(tmp_path / "t.csv", table_of(), num_rows=1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b\n1,2\n", ""),
        ('a,b\n"1,\n5",2\n', ""),
        ('a,b\n"1,,5",2\n', ""),
        ('a,b\n"say ""x"", y",2\n', ""),
        ("a,b\n1,2\n\n3\n", "row 2 has 1 fields, the header has 2: ['3'], …"),
        ('a,b\n"1,2",3\n"4,5"\n', "row 2 has 1 fields, the header has 2: ['4,5'], …"),
    ],
)
def test_the_first_ragged_row_is_found(tmp_path, text, found):
    (tmp_path / "t.csv").write_text(text)

    assert find_ragged(tmp_path / "t.csv", table_of()) == found


def test_a_header_keeps_its_letters_in_every_encoding(tmp_path):
    for encoding in ("latin-1", "windows-1252", "utf-16", "utf-8"):
        (tmp_path / "t.csv").write_bytes("größe,b\n1,2\n".encode(encoding))

        assert read_head(tmp_path / "t.csv", table_of(encoding=encoding), num_rows=1).columns == ["größe", "b"]


def test_no_value_is_made_up_or_lost_in_between(tmp_path):
    frame = pl.DataFrame({"a": ["x", None, 'q"uo,te', "two\nlines"], "b": ["1", "2", None, "4"]})
    frame.write_csv(tmp_path / "t.csv")

    assert scan_text(tmp_path / "t.csv", table_of(), scratch=tmp_path).collect().equals(frame)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1251"])
@pytest.mark.parametrize("said", ["sep=;", "SEP=;", '"sep=;"'])
def test_a_first_line_that_names_the_separator_is_no_header(tmp_path, encoding, said):
    file = tmp_path / "t.csv"
    file.write_bytes(f"{said}\r\na;b\r\n1;2\r\n3;4\r\n".encode(encoding))
    table = table_of(encoding=encoding.removesuffix("-sig"))

    assert read_head(file, table, num_rows=5).rows() == [("1", "2"), ("3", "4")]
    assert scan_text(file, table, scratch=tmp_path).collect().rows() == [("1", "2"), ("3", "4")]
    assert find_ragged(file, table) == ""
