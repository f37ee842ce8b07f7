"""What a chart writes: names as they are, lines that a missing value interrupts, and axes of round numbers."""

import html
import math
import re

import pytest

from treadle.pages.charts import Line, draw_chart


def read_ticks(svg, anchor):
    """The numbers of an axis: at the end of their text, the vertical one; in the middle, the horizontal one."""
    return re.findall(rf'<text x="[^"]+" y="[^"]+" text-anchor="{anchor}">([^<]*)</text>', svg)


def test_names_are_shown_as_they_are():
    names = ["$10_$20", r"$\bad$", "_hidden", "", "<b>plain</b>"]
    lines = [Line(name, [0.0, 1.0], [0.0, 1.0]) for name in names]

    svg = draw_chart(title="<i>$x_$", x="x", y="y", lines=lines, diagonal=True)

    assert [name for name in names if f"</i>{html.escape(name)}</span>" not in svg] == []
    assert svg.startswith("<figcaption>&lt;i&gt;$x_$</figcaption>")


def test_a_value_that_is_no_number_interrupts_a_line():
    svg = draw_chart(title="t", x="x", y="y", lines=[Line("a", [0, 1, 2, 3, 4], [1.0, 2.0, math.nan, 2.0, 1.0])])

    (path,) = re.findall(r'class="line" d="([^"]*)"', svg)
    assert (path.count("M"), path.count("L")) == (2, 2)
    assert svg.count("<circle") == 4


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.013, 0.97], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0.3412, 0.3588], ["0.340", "0.345", "0.350", "0.355", "0.360"]),
        ([-1200.0, 900.0], ["-1,500", "-1,000", "-500", "0", "500", "1,000"]),
        ([2.0, 2.0], ["1.0", "1.5", "2.0", "2.5", "3.0"]),
        ([math.nan], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([1e-9, 4e-9], ["1e-09", "2e-09", "3e-09", "4e-09"]),
    ],
    ids=["shares", "narrow", "thousands", "constant", "none", "tiny"],
)
def test_an_axis_has_round_numbers_around_its_values(values, ticks):
    svg = draw_chart(title="t", x="x", y="y", lines=[Line("a", range(len(values)), values)])

    assert read_ticks(svg, "end") == ticks


@pytest.mark.parametrize("count", [1, 2, 8, 300])
def test_epochs_are_whole(count):
    epochs = list(range(1, count + 1))

    svg = draw_chart(title="t", x="epoch", y="loss", lines=[Line("a", epochs, epochs, marked=count)])

    assert all(tick.isdigit() and 1 <= int(tick) <= count for tick in read_ticks(svg, "middle"))
    assert svg.count('class="star"') == 1


def test_a_band_lies_within_the_chart():
    svg = draw_chart(title="t", x="x", y="y", lines=[Line("a", [0, 1], [0.5, 0.5], band=([0.1, 0.2], [0.9, 3.0]))])

    (band,) = re.findall(r'class="band" d="([^"]*)"', svg)
    assert band.count("L") == 3
    assert all(0 <= float(y) <= 300 for y in re.findall(r" ([\d.]+)", band))
