"""What the README and the pages of docs/ show of a terminal is what the commands print.

`python tests/docs/test_console.py [--long] [PAGE …]` writes the outputs anew; read the difference.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "support"))  # as a script, too

from consoles import Block, matches, read_blocks, rewrite, run_blocks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGURATION = ("conf/", "params.yaml")  # all that the commands need that are not long


def make_checkout(folder, *, long):
    """What a reader has: a repository with its data; without `long` no more than commands on a configuration need."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and name.startswith("" if long else CONFIGURATION):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    if not long:
        (folder / "data").symlink_to(ROOT / "data")
        return folder
    shutil.copytree(ROOT / "data", folder / "data")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "begin"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def list_due(page, *, long):
    return [block for block in read_blocks(page.read_text()) if block.is_due(long=long)]


def list_pages(*, long):
    """The pages with consoles that are run, with `long` those that have long ones."""
    consoles = {page: [block for block in list_due(page, long=True) if block.language == "console"] for page in PAGES}
    return [page for page, blocks in consoles.items() if any(("long" in block.flags) == long for block in blocks)]


def name_page(page):
    return page.relative_to(ROOT).with_suffix("").as_posix()


def hold(page, folder, *, long):
    results = run_blocks(list_due(page, long=long), folder=make_checkout(folder, long=long), timeout_s=1800)
    for command, printed in results:
        assert matches(command.expected, printed), _describe(page, command, printed)
        assert not command.fails_unseen, f"exit code {command.status}\n{_describe(page, command, printed)}"


def _describe(page, command, printed):
    shown, found = "\n".join(command.expected), "\n".join(printed)
    return f"{name_page(page)}:{command.first}: $ {command.text}\n--- shown\n{shown}\n--- printed\n{found}"


@pytest.mark.slow
@pytest.mark.sampled_cases(3)  # of which the README is always one
@pytest.mark.parametrize("page", list_pages(long=False), ids=name_page)
def test_a_page_shows_what_its_commands_print(tmp_path, page):
    hold(page, tmp_path, long=False)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("page", list_pages(long=True), ids=name_page)
def test_a_page_with_long_commands_shows_what_they_print(tmp_path, page):
    hold(page, tmp_path, long=True)


def test_the_readme_shows_the_committed_metrics():
    show = ["git", "show", "HEAD:artifacts/evaluation/metrics.json"]  # a `make demo` beside the tests writes the file
    metrics = json.loads(subprocess.run(show, cwd=ROOT, check=True, capture_output=True).stdout)
    names = ("auroc", "log_loss", "brier", "accuracy")

    rows = [line.strip("│").split("│") for line in PAGES[0].read_text().splitlines() if line.startswith("│ ")]
    shown = {name.strip(): values for name, *values in rows if name.strip() in metrics}

    assert len(shown) == len(metrics)
    for name, values in shown.items():
        assert [value.strip() for value in values] == [f"{metrics[name][metric]:.4f}" for metric in names]


def test_a_wildcard_is_any_text_a_line_of_it_any_lines_and_times_and_ids_are_not_compared():
    assert matches(["in 1.0 s at runs/a-00000000"], ["in 0.3 s at runs/a-12345678"])
    assert matches(["done in … s", "…", "end"], ["done in 0.3 s", "more", "and more", "end"])
    assert not matches(["done in … s", "end"], ["done in 0.3 s", "more", "end"])
    assert not matches(["a.c"], ["abc"])


def test_a_command_fails_unseen_where_its_page_shows_no_word_of_it(tmp_path):
    text = "```console\n$ ls none\n…\n$ echo $?\n2\n$ ls none\n…: No such …\n$ (exit 3)\n$ echo a; echo b\n…\n```\n"

    results = run_blocks(read_blocks(text), folder=tmp_path, timeout_s=10)

    assert all(matches(command.expected, printed) for command, printed in results)
    assert [command.status for command, _ in results] == [2, 0, 2, 3, 0]
    assert [command.fails_unseen for command, _ in results] == [True, False, False, True, False]


def test_a_page_that_is_written_anew_keeps_its_wildcards():
    page = "```console\n$ run\ndone in … s\n…\nold\n$ next\n```\n"
    (block,) = read_blocks(page)
    run, after = block.list_commands()

    written = rewrite(page, [(run, ["done in 2 s", "x", "y", "new in 3.5 s"]), (after, ["runs/a-0a1b2c3d"])])

    assert written == "```console\n$ run\ndone in … s\n…\nnew in 3.5 s\n$ next\nruns/a-0a1b2c3d\n```\n"
    assert read_blocks(written)[0] == Block("", "console", 1, written.splitlines()[1:-1])


if __name__ == "__main__":
    long = "--long" in sys.argv
    chosen = set(sys.argv[1:]) - {"--long"}
    for page in [page for page in PAGES if not chosen or name_page(page) in chosen]:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "checkout")
            folder.mkdir()
            shown = run_blocks(list_due(page, long=long), folder=make_checkout(folder, long=long), timeout_s=1800)
            page.write_text(rewrite(page.read_text(), shown))
