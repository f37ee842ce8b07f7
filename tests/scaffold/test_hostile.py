"""No name, class or cell of a table writes into the files of a project or to the terminal more than itself."""

import csv
import random

import markdown_it
import pytest
import yaml

from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.console import Console
from treadle.printable import escape_lines
from treadle.scaffold.init import Origin, fill
from treadle.scaffold.planning.plan import Request
from treadle.scaffold.summary import print_summary

pytestmark = pytest.mark.slow
HOSTILE = [
    "x\ntargets: [os.]",
    "y\r\n    - os.\r\n# Heading",
    "z\n\n<script>alert(1)</script>\n\n# Heading",
    "<img src=http://evil/a.png>",
    "[link](http://evil/) ![image](http://evil/b.png)",
    "`code` `` **bold** | cell | ~~gone~~",
    "{{ 7 * 7 }}{% raw %}{# note #}",
    "${oc.env:HOME} ${targets}",
    "' OR 1 = 1 --",
    '"; DROP TABLE x; --',
    "&anchor *alias !!python/object:os.system # comment",
    "\x1b]8;;http://evil\x1b\\click\x07",
    "\x9b31m\x7f\x01red",
    "\u202eevil\u2066\u2028\u2029\x85end",
]
NUM_ROWS = 400


def write_table(file, *, target, classes):
    """Each name on a number, on texts that differ in each row, on a constant, and on a column that knows the answer."""
    generator = random.Random(0)  # noqa: S311 - not for secrets
    header, rows = [target], [[classes[n % len(classes)]] for n in range(NUM_ROWS)]
    for place, name in enumerate(HOSTILE):
        header += [f"{kind}{name}" for kind in ("number ", "text ", "same ", "words ")]
        for n, row in enumerate(rows):
            cell = HOSTILE[(place + n) % len(HOSTILE)]
            row += [f"{generator.gauss(0, 1):.3f}", f"{cell} {n} {generator.random()}", name, cell if n % 3 else ""]
    header.append(f"leak{HOSTILE[0]}")
    for row in rows:
        row.append(f"{row[0]} indeed")
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([header, *rows])


def read_yaml(folder):
    return {file.relative_to(folder): yaml.safe_load(file.read_text()) for file in (folder / "conf").rglob("*.yaml")}


@pytest.fixture(params=["binary", "multiclass", "regression"], scope="module")
def made(request, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("hostile")
    classes = {
        "binary": HOSTILE[:2],
        "multiclass": HOSTILE,
        "regression": [f"{n * 1.37:.2f}" for n in range(NUM_ROWS)],
    }[request.param]
    target = f"answer{HOSTILE[0]}"
    write_table(tmp_path / "table.csv", target=target, classes=classes)
    (tmp_path / "shop").mkdir()
    origin = Origin([str(tmp_path / "table.csv")], missing=())
    return fill(tmp_path / "shop", title="shop", package="shop", origin=origin, request=Request(target))


@pytest.mark.sampled_cases(1)
def test_yaml_holds_what_the_plan_holds_and_nothing_else(made):
    experiment = check(compose(overrides=[], root=made.folder))

    assert experiment.targets == ["treadle.models.", "treadle.features.", "treadle.training.", "torch.optim.", "shop."]
    data = read_yaml(made.folder)[(made.folder / "conf/data/shop.yaml").relative_to(made.folder)]
    assert set(data) == {"task", "tables", "examples", "split"}
    columns = experiment.data.tables["shop"].columns
    assert {f"number {name}" for name in HOSTILE} <= {column.name_in_file(name) for name, column in columns.items()}
    target = columns[made.plan.target.name]
    assert target.allowed is None or set(target.allowed) <= set(HOSTILE)
    assert (target.allowed is None) == (experiment.data.task == "regression")
    assert experiment.data.examples.known == [c.profile.name for c in made.plan.choices if c.role != "out"]


def test_every_file_prints(made):
    texts = {file: file.read_text(encoding="utf-8") for file in made.folder.rglob("*") if is_ours(file, made.folder)}

    assert len(texts) > 10
    for file, text in texts.items():
        assert escape_lines(text) == text, file


def is_ours(file, folder):
    return file.is_file() and "data" not in file.relative_to(folder).parts[:1]


def test_the_readme_has_no_link_image_html_or_heading_of_theirs(made):
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])

    tokens = [
        token
        for whole in parser.parse((made.folder / "README.md").read_text())
        for token in (whole, *(whole.children or []))
    ]

    assert not {token.type for token in tokens} & {"link_open", "image", "html_inline", "html_block", "s_open"}
    headings = [token for token in tokens if token.type == "heading_open"]
    assert len(headings) == (made.folder / "README.md").read_text().count("\n## ") + 1
    rows = [token for token in tokens if token.type in {"tr_open", "td_open", "th_open"}]
    assert sum(token.type != "tr_open" for token in rows) == 2 * sum(token.type == "tr_open" for token in rows)


def test_the_terminal_gets_lines_that_print(made, capsys):
    print_summary(made, Console(width=120))

    shown = capsys.readouterr().out
    assert escape_lines(shown) == shown
    assert "\ntargets: [os.]" not in shown
    assert "answer" in shown
