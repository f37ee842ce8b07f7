"""What a stranger named reaches the terminal as text."""

import json

import pytest
from rich.table import Table

from runs import treadle
from treadle.console import Console
from treadle.printable import escape, escape_lines


@pytest.mark.parametrize("text", ["", "größe", "日本", "a b", "1\u00a0000", "\u06a9\u200c\u06a9", "{a: 'b'}", "\\n"])
def test_what_prints_stays(text):
    assert escape(text) == text


@pytest.mark.parametrize(
    "character", ["\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\x9b", "\u202e", "\ufeff", "\U000e0041"]
)
def test_what_does_not_print_is_written_as_json_would(character):
    shown = escape(f"a{character}b")

    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == f"a{character}b"


def test_half_a_character_can_be_encoded():
    assert escape("\ud800").encode() == rb"\ud800"


def test_a_message_keeps_its_lines():
    assert escape_lines("a\n\tb\x1b\n") == "a\n\tb\\u001b\n"


def test_cells_and_titles_of_a_table_stay_in_their_place(capsys):
    table = Table(title="t\x1b[31m")
    table.add_column("c\n\x07")
    table.add_row("x\n\u202ey")

    Console(width=80).print(table)

    shown = capsys.readouterr().out
    assert escape_lines(shown) == shown
    assert "x\\n\\u202ey" in shown
    assert len({len(line.rstrip()) for line in shown.splitlines()[1:]}) == 1


def test_an_error_shows_an_override_and_does_not_obey_it(project, capsys):
    assert treadle("check", "data.tables.flights.columns.\x1b]8;;evil\x07=1") == 2

    told = capsys.readouterr().err
    assert escape_lines(told) == told
