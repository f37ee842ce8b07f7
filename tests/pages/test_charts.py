"""What a chart writes: names are shown as they are, whatever they hold."""

import html

from treadle.pages.charts import Line, draw_chart


def test_names_are_shown_as_they_are():
    names = ["$10_$20", r"$\bad$", "_hidden", "", "plain"]
    lines = [Line(name, [0.0, 1.0], [0.0, 1.0]) for name in names]

    svg = html.unescape(draw_chart(title="$x_$", x="x", y="y", lines=lines, diagonal=True))

    assert [name for name in [*names, "$x_$"] if f">{name}</text>" not in svg and name] == []
    assert svg.count('id="legend_1"') == 1
