"""The ledger of a model: raced by processes, torn, changed, and rolled back."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from treadle.champions.ledger import Decision, RaceError, append, list_models, locate, read_history
from treadle.errors import TreadleError

PROMOTED = Decision(
    time="2026-01-01T00:00:00+00:00",
    action="promote",
    bundle="a" * 64,
    run="runs/flights-1",
    git={"commit": None, "changed": None},
    evidence={"promotes": True},
    reason=None,
    who="Ada",
)


def promote(*bundles, root):
    for bundle in bundles:
        before = read_history("flights", root=root).champion
        append("flights", replace(PROMOTED, bundle=bundle), expected=before, root=root)


def test_what_was_appended_is_read(tmp_path):
    promote("a", "b", root=tmp_path)

    history = read_history("flights", root=tmp_path)

    assert history.champion == "b"
    assert [decision.bundle for decision in history.decisions] == ["a", "b"]
    assert history.decisions[0] == replace(PROMOTED, bundle="a")
    assert list_models(tmp_path) == ["flights"]


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029", "\r", "\x0b"], ids=ascii)
def test_a_reason_may_hold_what_other_tools_end_lines_at(tmp_path, end):
    reason = f"the label was wrong{end}see the ticket"
    append("flights", replace(PROMOTED, bundle="a", reason=reason), expected=None, root=tmp_path)
    promote("b", root=tmp_path)

    decisions = read_history("flights", root=tmp_path).decisions

    assert [(decision.bundle, decision.reason) for decision in decisions] == [("a", reason), ("b", None)]


def test_a_promotion_that_another_one_overtook_is_refused(tmp_path):
    promote("a", "b", root=tmp_path)
    before = locate("flights", root=tmp_path).read_bytes()

    with pytest.raises(RaceError, match="the champion is b by now, and the gate compared with a"):
        append("flights", replace(PROMOTED, bundle="c"), expected="a", root=tmp_path)

    assert locate("flights", root=tmp_path).read_bytes() == before


RACE = """
import sys
from pathlib import Path
from dataclasses import replace
from treadle.champions.ledger import Decision, RaceError, append, read_history

who, root, accepted = sys.argv[1], Path(sys.argv[2]), 0
base = Decision(time="", action="promote", bundle="", run="", git={}, evidence={}, reason=None, who=who)
for number in range(100):
    seen = read_history("flights", root=root).champion
    try:
        append("flights", replace(base, bundle=f"{who}-{number}"), expected=seen, root=root)
        accepted += 1
    except RaceError:
        pass
print(accepted)
"""


@pytest.mark.slow
def test_of_racing_processes_each_line_is_an_accepted_promotion(tmp_path):
    command = [sys.executable, "-c", RACE]
    racers = [
        subprocess.Popen([*command, str(number), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for number in range(6)
    ]
    accepted = [int(racer.communicate(timeout=300)[0]) for racer in racers]

    lines = locate("flights", root=tmp_path).read_text().splitlines()
    bundles = [decision.bundle for decision in read_history("flights", root=tmp_path).decisions]  # the chain is whole
    assert sum(accepted) == len(lines) == len(set(bundles))
    assert all(number == sum(one.startswith(f"{who}-") for one in bundles) for who, number in enumerate(accepted))
    assert min(accepted) >= 1


def test_a_torn_last_line_counts_for_nothing_and_goes_with_the_next_decision(tmp_path):
    promote("a", "b", root=tmp_path)
    path = locate("flights", root=tmp_path)
    whole = path.read_text()
    path.write_text(whole[:-20])

    history = read_history("flights", root=tmp_path)
    assert history.champion == "a"
    assert history.torn == whole.splitlines(keepends=True)[1][:-20]

    promote("c", root=tmp_path)
    assert [decision.bundle for decision in read_history("flights", root=tmp_path).decisions] == ["a", "c"]
    assert path.read_text().startswith(whole.splitlines(keepends=True)[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0], lines[2]],
        lambda lines: lines[1:],
        lambda lines: [lines[0].replace("Ada", "Eve"), *lines[1:]],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: ["<<<<<<< HEAD\n", *lines],
    ],
    ids=["removed", "first removed", "changed", "swapped", "put between", "merge"],
)
def test_a_line_that_was_tampered_with_is_found(tmp_path, change):
    promote("a", "b", "c", root=tmp_path)
    path = locate("flights", root=tmp_path)
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    with pytest.raises(TreadleError, match=r"flights\.jsonl:[12]: (does not follow|is no decision)"):
        read_history("flights", root=tmp_path)


def test_the_way_back_leads_through_the_promotions(tmp_path):
    def roll_back():
        history = read_history("flights", root=tmp_path)
        back = replace(PROMOTED, action="rollback", bundle=history.list_champions()[-2])
        append("flights", back, expected=history.champion, root=tmp_path)

    promote("a", "b", "c", root=tmp_path)
    roll_back()
    assert read_history("flights", root=tmp_path).list_champions() == ["a", "b"]
    promote("d", root=tmp_path)
    roll_back()
    roll_back()

    history = read_history("flights", root=tmp_path)
    assert history.champion == "a"
    assert history.list_champions() == ["a"]
    assert len(history.decisions) == 7


@pytest.mark.parametrize("name", ["../evil", "", ".hidden", "a/b"])
def test_a_name_is_one_of_a_file(tmp_path, name):
    with pytest.raises(TreadleError, match="is no name of a model"):
        locate(name, root=tmp_path)


def test_a_line_is_plain_json(tmp_path):
    promote("a", root=tmp_path)

    (line,) = locate("flights", root=tmp_path).read_text().splitlines()

    assert json.loads(line)["previous"] == "0" * 64
