"""Verbs that read the configuration and run nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines
from treadle.cli.selected import (
    compose_selected,
    print_model_choice,
    require_seen,
    resolve_selected,
    without_collector,
)
from treadle.cli.verb import Verb, add_overrides, add_selection

if TYPE_CHECKING:
    from treadle.problems import Problem


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["text", "json", "github"], default="text", help="for people, editors, CI")
    parser.add_argument("-m", "--multirun", action="store_true", help="check every trial of a sweep")
    add_selection(parser)
    add_overrides(parser)


def _check(options: argparse.Namespace) -> int:
    from treadle.problems import ConfigError, report

    style = options.format
    try:
        with without_collector():
            summary, warnings = (_check_sweep if options.multirun else _check_experiment)(options)
    except ConfigError as error:
        if style == "text":
            raise
        print_lines(report(error.problems, style=style, severity="error"))
        return 2
    reported = report(warnings, style=style, severity="warning")
    if style != "text":
        print_lines(reported)
        return 0
    print_lines(summary + (f", {_count(len(warnings))}\n\n{reported}" if warnings else ""))
    return 0


def _check_experiment(options: argparse.Namespace) -> tuple[str, list[Problem]]:
    from treadle.check.checks import check, find_warnings

    composed = compose_selected(options.overrides, selection=options.selection)
    experiment = check(composed)
    require_seen(experiment, selection=options.selection)
    warnings = find_warnings(experiment, composed)
    if options.format == "text":
        print_model_choice(experiment)
    return f"{experiment.name}: OK", warnings


def _check_sweep(options: argparse.Namespace) -> tuple[str, list[Problem]]:
    from treadle.cli.commands.sweeps import check_many

    return check_many(options.overrides, selection=options.selection), []


def _count(num_warnings: int) -> str:
    return "1 warning" if num_warnings == 1 else f"{num_warnings} warnings"


def _add_compose(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write resolved.yaml here")
    parser.add_argument("--slices", type=Path, metavar="FOLDER", help="write what each stage depends on here, for DVC")
    add_overrides(parser)


def _compose(options: argparse.Namespace) -> None:
    resolved = resolve_selected(options.overrides, selection=options.selection)
    from treadle.disk import write_text

    require_seen(resolved.experiment, selection=options.selection)
    if options.slices is not None:
        resolved.write_slices(options.slices)

    if options.output is None:
        print_lines(resolved.dump().rstrip())
    else:
        print_model_choice(resolved.experiment)
        write_text(options.output, resolved.dump())


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="dotted, such as schedule.max_epochs; or a group, such as model")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="for people, for programs")
    add_selection(parser)
    add_overrides(parser)


def _explain(options: argparse.Namespace) -> None:
    with without_collector():
        from treadle.explain.explanation import explain
        from treadle.explain.views import to_json, to_text

        explanation = explain(compose_selected(options.overrides, selection=options.selection), options.key)
    print_lines(to_json(explanation) if options.format == "json" else to_text(explanation))


def _add_schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 2 where a file is stale")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="instead of conf/.schema")


def _schema(options: argparse.Namespace) -> None:
    from treadle.errors import TreadleError
    from treadle.schemas import files

    folder = options.output if options.output is not None else files.FOLDER
    changed = (files.find_stale if options.check else files.write_schemas)(Path.cwd(), folder)
    if options.check and changed:
        raise TreadleError(f"stale: {', '.join(map(str, changed))}; `treadle schema` writes them")
    print_lines("\n".join(map(str, changed)) or f"current  {folder}")


def _add_lineage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["text", "mermaid", "svg"], default="text")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it here")
    parser.add_argument("overrides", nargs="*", metavar="FEATURE|OVERRIDE", help="a column, or block.column")


def _lineage(options: argparse.Namespace) -> None:
    from treadle.disk import write_text
    from treadle.errors import TreadleError
    from treadle.experiment.spec import Experiment
    from treadle.lineage import views
    from treadle.lineage.graph import find_nodes, trace_experiment

    features = [word for word in options.overrides if "=" not in word and not word.startswith("~")]
    resolved = resolve_selected([word for word in options.overrides if word not in features], absent="pass")
    if not isinstance(resolved.experiment, Experiment):
        raise TreadleError("lineage: an experiment of a learner has no features; its datamodule makes its inputs")
    graph = trace_experiment(resolved.experiment)
    names = [name for word in features for name in find_nodes(graph, word)]
    if options.format == "text":
        text = "\n\n".join(views.print_tree(graph, name) for name in names) or views.print_list(graph)
    else:
        draw = views.draw_mermaid if options.format == "mermaid" else views.draw_svg
        text = draw(graph, names or views.list_ends(graph))
    if options.output is None:
        print_lines(text)
    else:
        write_text(options.output, f"{text}\n")


VERBS = (
    Verb("check", "Report every mistake of a configuration, before anything runs.", _add_check, _check),
    Verb("compose", "Compose, check and print (or write) the resolved experiment.", _add_compose, _compose),
    Verb("explain", "Explain what a key means, where its value comes from, and who reads it.", _add_explain, _explain),
    Verb("schema", "Write the JSON Schemas of conf/, with which editors complete and check.", _add_schema, _schema),
    Verb("lineage", "Show what each feature, or one of them, is computed from.", _add_lineage, _lineage),
)
