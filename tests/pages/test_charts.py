"""What a chart writes: names as they are, lines that a missing value interrupts, and axes of round numbers."""

import html
import json
import math
import re

import pytest

from treadle.pages.charts import Bar, Line, draw_bars, draw_chart, draw_dependence


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
        ([2.0, 2.0 + 1e-15], ["1.0", "1.5", "2.0", "2.5", "3.0"]),
        ([math.nan], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([1e-9, 4e-9], ["1e-09", "2e-09", "3e-09", "4e-09"]),
    ],
    ids=["shares", "narrow", "thousands", "constant", "constant but for rounding", "none", "tiny"],
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


def test_bars_begin_at_zero_and_share_one_scale():
    drawn = draw_bars(title="t", bars=[Bar("<a>", 3.0, (2.0, 4.0)), Bar("b", -1.0)])

    assert re.findall(r"<(i|b) style=\"left:([\d.]+)%;width:([\d.]+)%\"", drawn) == [
        ("i", "20.00", "60.00"),
        ("b", "60.00", "40.00"),
        ("i", "0.00", "20.00"),
    ]
    assert "<span>&lt;a&gt;</span>" in drawn


def test_texts_have_points_apart_and_all_of_them_fit_in():
    texts = [f"a long name {number}" for number in range(5)]
    curves = {"mean": ([0.1] * 5, [0.0] * 5, [0.2] * 5)}

    svg = draw_dependence(title="t", values=texts, curves=curves, shares=[0.2] * 5, edges=[])

    assert (svg.count('class="whisker"'), svg.count('class="density"'), svg.count('class="band"')) == (5, 5, 0)
    height = int(re.search(r'viewBox="0 0 440 (\d+)"', svg)[1])
    places = re.findall(r"rotate\(-35 ([\d.]+) (\d+)\)", svg)
    assert len(places) == 5
    reach = 10 * 7  # of ten characters, which is the longest text, at most
    assert all(float(x) > reach * math.cos(math.radians(35)) for x, _ in places)
    assert all(float(y) + reach * math.sin(math.radians(35)) < height for _, y in places)


def test_numbers_have_a_curve_over_the_bins_of_their_rows():
    curves = {"mean": ([0.1, 0.3], [0.0, 0.2], [0.2, 0.4])}

    svg = draw_dependence(title="t", values=[1.0, 3.0], curves=curves, shares=[0.75, 0.25], edges=[0.0, 2.0, 4.0])

    heights = [float(height) for height in re.findall(r'class="density"[^>]* height="([\d.]+)"', svg)]
    assert heights == pytest.approx([heights[0], heights[0] / 3], abs=0.1)
    assert (svg.count('class="band"'), svg.count("rotate(-35")) == (1, 0)


def test_a_few_places_are_named_and_the_pointer_finds_each():
    weeks = [f"2013-01-{day:02}" for day in range(1, 11)]

    svg = draw_chart(title="t", x="weeks", y="y", lines=[Line("a", range(10), range(10))], places=weeks)

    assert re.findall(r">(2013-01-\d\d)</text>", svg) == ["2013-01-01", "2013-01-04", "2013-01-07", "2013-01-10"]
    assert re.search(r'text-anchor="end">2013-01-10<', svg)  # which would be cut off
    assert json.loads(re.search(r'data-texts="([^"]+)"', svg)[1].replace("&quot;", '"')) == weeks


def test_many_points_without_an_order_are_shown():
    line = Line("a", range(40), range(40), is_apart=True)

    assert draw_chart(title="t", x="x", y="y", lines=[line]).count("<circle") == 40
