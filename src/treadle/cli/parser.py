"""What the command line takes: verbs, their options, and overrides anywhere between them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

STAGES = {  # what each stage does
    "prepare": "Read the data and write the examples of each split.",
    "featurize": "Fit the transforms, and write the features.",
    "train": "Train the model, and write its bundle.",
    "baseline": "Fit what the model is compared with; runs on the same features share it.",
    "evaluate": "Evaluate the model and its baselines on the test split.",
}
STAGE_NAMES = tuple(STAGES)

_OVERRIDES: dict[str, Any] = {
    "nargs": "*",
    "metavar": "OVERRIDE",
    "help": "Hydra overrides: experiment=flights_linear model=mlp schedule.max_epochs=3",
}
_SELECTION: dict[str, Any] = {"type": Path, "metavar": "FILE", "help": "take the selection of a params.yaml"}
_Add = Callable[[str, str], argparse.ArgumentParser]  # makes the parser of a verb from its name and its purpose


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Options and overrides in any order, as Hydra takes them (argparse alone wants overrides in one piece)."""
    parser = build_parser()
    given, typed = _split_typed(list(arguments))
    options, rest = parser.parse_known_args(given)
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(options, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides += rest
    options.typed = typed
    return options


def _split_typed(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Apart from what follows `completion SHELL --words`: any half-typed word, `--` too, which argparse would take."""
    end = 3 if arguments[:1] == ["completion"] and arguments[2:3] == ["--words"] else len(arguments)
    return arguments[:end], arguments[end:]


def build_parser() -> argparse.ArgumentParser:
    """Every verb, in the order of the help."""
    from treadle import __version__

    parser = argparse.ArgumentParser(
        prog="treadle",
        description="One composed configuration describes a whole turn of the machine-learning loop.",
        epilog="Start with: treadle run. Overrides: treadle run model=mlp schedule.max_epochs=3",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=16),
    )
    parser.add_argument("--version", action="version", version=f"treadle {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--traceback", action="store_true", help="show where in the code an error comes from")
        return verb

    _add_turn(add)
    _add_questions(add)
    _add_results(add)
    _add_init(add("init", "Make a project from a table: its columns read, classified, and written down."))
    completion = add("completion", "Print the completion script of a shell.")
    completion.add_argument("shell", choices=["bash", "zsh", "fish"])
    completion.add_argument("--words", action="store_true", help=argparse.SUPPRESS)
    return parser


def _add_turn(add: _Add) -> None:
    check = add("check", "Say what is wrong with a selection, before anything runs.")
    check.add_argument("--format", choices=["text", "json", "github"], default="text", help="for people, editors, CI")
    check.add_argument("--selection", **_SELECTION)
    compose = add("compose", "Compose, check and print (or write) the resolved experiment.")
    compose.add_argument("--selection", **_SELECTION)
    compose.add_argument("-o", "--output", type=Path, metavar="FILE", help="write resolved.yaml here")
    compose.add_argument("--slices", type=Path, metavar="FOLDER", help="write what each stage depends on here, for DVC")
    run = add("run", "Run every stage: prepare, featurize, train, baseline, evaluate.")
    stages = [add(name, f"{purpose} (After the stages that it depends on.)") for name, purpose in STAGES.items()]
    for verb in stages:
        verb.add_argument("--folder", type=Path, help="run this stage alone in that folder, by its resolved.yaml")
        verb.add_argument("--resolved", type=Path, metavar="FILE", help="another resolved.yaml for --folder")
    for verb in (check, compose, run, *stages):
        verb.add_argument("overrides", **_OVERRIDES)
    for verb in (run, *stages):
        verb.add_argument("--cfg", choices=["job"], help="print the composed configuration and stop")
        verb.add_argument("--why", action="store_true", help="say what would run, and why, and stop")


def _add_questions(add: _Add) -> None:
    explain = add("explain", "Say what a key means, how it came to its value, and who reads it.")
    explain.add_argument("key", metavar="KEY", help="dotted, such as schedule.max_epochs; or a group, such as model")
    explain.add_argument("--format", choices=["text", "json"], default="text", help="for people, for programs")
    explain.add_argument("--selection", **_SELECTION)
    explain.add_argument("overrides", **_OVERRIDES)
    schema = add("schema", "Write the JSON Schemas of conf/, by which editors complete, explain and check.")
    schema.add_argument("--check", action="store_true", help="write nothing; 2 where a file is stale")
    schema.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="instead of conf/.schema")
    lineage = add("lineage", "Show what each feature, or one of them, is computed from.")
    lineage.add_argument("--format", choices=["text", "mermaid", "svg"], default="text")
    lineage.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it here")
    lineage.add_argument("overrides", nargs="*", metavar="FEATURE|OVERRIDE", help="a column, or block.column")
    diff = add("diff", "Say what differs between two selections, runs or revisions, and what that runs again.")
    side = "a selection ('model=mlp seed=1'), a params.yaml, a run's folder, a resolved.yaml, a git revision"
    diff.add_argument("before", metavar="A", help=side)
    diff.add_argument("after", metavar="B", nargs="?", help="likewise; without it: the selection of params.yaml")


def _add_results(add: _Add) -> None:
    compare = add("compare", "Compare finished runs: configuration apart from metrics.")
    compare.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders (default: all under runs/)")
    compare.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page with curves")
    verify = add("verify", "Read every stored result again, and say which are damaged; 1 where one is.")
    verify.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders (default: all, and the cache)")
    predict = add("predict", "Predict the rows of a file by the bundle of a run.")
    predict.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, or a bundle")
    predict.add_argument("rows", type=Path, metavar="ROWS", help="Parquet or CSV")
    predict.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="Parquet or CSV")
    breach = "rows that break the contract (default: as the experiment says): rejected and listed, told, or taken"
    predict.add_argument("--on-breach", choices=["refuse", "warn", "allow"], help=breach)
    allow: dict[str, Any] = {"action": "append", "default": [], "metavar": "PREFIX"}
    predict.add_argument("--allow", **allow, help="your own package, where the bundle uses it")
    told = "take the code that is here, where the bundle was trained with other code"
    predict.add_argument("--any-code", action="store_true", help=told)


def _add_init(init: argparse.ArgumentParser) -> None:
    init.add_argument("folder", metavar="NAME", type=Path, help="the new project's folder")
    source = "CSV, TSV or Parquet, several files or patterns; or sqlite:///file.db, postgresql://host/database"
    init.add_argument("--from", dest="sources", nargs="+", required=True, metavar="FILE", help=source)
    init.add_argument("--target", required=True, metavar="COLUMN", help="what is to be predicted")
    init.add_argument("--time", metavar="COLUMN", help="the moment of the prediction: the future is tested on")
    init.add_argument("--group", metavar="COLUMN", help="no value of it stands in two splits")
    init.add_argument("--weight", metavar="COLUMN", help="how much each row counts in training")
    init.add_argument("--task", choices=["binary", "multiclass", "regression"], help="where the target does not tell")
    init.add_argument("--positive", metavar="VALUE", help="of two, the one that counts as true")
    many: dict[str, Any] = {"nargs": "+", "default": [], "metavar": "COLUMN"}
    init.add_argument("--keep", **many, help="take these in, though they look like a leak or an identifier")
    init.add_argument("--drop", **many, help="leave these out")
    init.add_argument("--missing", **{**many, "metavar": "TEXT"}, help="further texts that mean no value")
    init.add_argument("--encoding", metavar="NAME", help="of text files, where it cannot be told")
    init.add_argument("--table", metavar="NAME", help="of a database")
