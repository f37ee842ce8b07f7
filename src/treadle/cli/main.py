"""The command line: verbs to functions. Each verb imports what it needs, so that `--help` costs nothing."""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from treadle.cli.parser import STAGE_NAMES, build_parser, read_arguments
from treadle.printable import escape_lines

if TYPE_CHECKING:
    from treadle.check.file_heads import Absent
    from treadle.experiment.spec import Experiment
    from treadle.pipeline import Run
    from treadle.problems import Place


REJECTED = 3  # exit code: done, but for rows that break the contract


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb: 0 is success, 1 a failure, 2 a mistake in the configuration or the command, 3 rejected rows."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run_verb(words)
    except KeyboardInterrupt:
        left = "nothing was made" if "init" in words else "the same command goes on from the last epoch"
        sys.stderr.write(f"treadle {_find_verb(words)}: interrupted; {left}\n")
        return 130
    except Exception as error:
        if "--traceback" in words:
            raise
        from treadle.cli import faults  # not before: it imports pydantic, and a TAB should not wait for that

        return faults.tell(error, verb=_find_verb(words))


def _run_verb(words: list[str]) -> int:
    _open_output()
    _require_text(words)
    try:
        options = read_arguments(words)
        _find_own_packages()
        return int(VERBS[options.verb](options) or 0)
    finally:
        _say()  # what cannot be written is an error here, and no remark of Python's as it ends


def _find_verb(words: Sequence[str]) -> str:
    return next((word for word in words if word in VERBS), "")


def _open_output() -> None:
    """Let what the terminal cannot show be escaped, and what a closed output would get be lost."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _require_text(words: Sequence[str]) -> None:
    """Bytes that are not UTF-8 name nothing that the libraries could open or write down.

    Raises:
        TreadleError: a word holds such bytes.
    """
    wrong = [word for word in words if not word.isascii() and not _is_text(word)]
    if wrong and words[0] != "completion":
        from treadle.errors import TreadleError

        raise TreadleError(f"{os.fsencode(wrong[0])!r} is not in UTF-8; give names and values in UTF-8")


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _find_own_packages() -> None:
    """The project's own packages can be targets; they come last, so that they hide no installed library."""
    for folder in (Path.cwd() / "src", Path.cwd()):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _say(*lines: str) -> None:
    """The door to the terminal for plain lines; all that was printed reaches its reader.

    Raises:
        OSError: it cannot; the error names the output.
    """
    try:
        sys.stdout.writelines(f"{escape_lines(line)}\n" for line in lines)
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


# --- configuration ------------------------------------------------------------------------------------


@contextmanager
def _without_collector() -> Iterator[None]:
    """Composing allocates much and frees little: the collector would take a sixth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _resolve(options: argparse.Namespace, *, absent: Absent = "refuse") -> tuple[Experiment, dict[str, Any]]:
    """Compose and check what the command line selects; `absent`: what becomes of a table without files."""
    with _without_collector():
        from treadle.check.resolve import resolve

        selected = _select(options)
        return resolve(overrides=[*selected, *options.overrides], root=Path.cwd(), places=selected, absent=absent)


def _select(options: argparse.Namespace) -> dict[str, Place]:
    if getattr(options, "selection", None) is None:
        return {}
    from treadle.config.selection import read_selection

    return read_selection(options.selection, root=Path.cwd())


def _require_seen(options: argparse.Namespace, values: dict[str, Any]) -> None:
    """Where it is DVC's selection that is composed, DVC must see every edit."""
    if getattr(options, "selection", None) is not None:
        from treadle.check.dvc_stages import require_seen

        require_seen(values, root=Path.cwd())


def _check(options: argparse.Namespace) -> int:
    with _without_collector():
        from treadle.check.checks import check, find_warnings
        from treadle.config.compose import compose
        from treadle.problems import ConfigError, report

        style = options.format
        try:
            selected = _select(options)
            composed = compose(overrides=[*selected, *options.overrides], root=Path.cwd(), places=selected)
            experiment = check(composed)
            _require_seen(options, experiment.model_dump(mode="json"))
        except ConfigError as error:
            if style == "text":
                raise
            _say(report(error.problems, style=style, severity="error"))
            return 2
        warnings = find_warnings(experiment, composed)
    told = report(warnings, style=style, severity="warning")
    if style != "text":
        _say(told)
    else:
        _say_choice(experiment)
        _say(f"{experiment.name}: sound" + (f", with a word on {len(warnings)}\n\n{told}" if warnings else ""))
    return 0


def _compose(options: argparse.Namespace) -> None:
    experiment, values = _resolve(options)
    from treadle.disk import write_text
    from treadle.experiment.resolved import dump, write_slices

    _require_seen(options, values)
    if options.slices is not None:
        write_slices(values, options.slices)

    if options.output is None:
        _say(dump(values).rstrip())
    else:
        _say_choice(experiment)
        write_text(options.output, dump(values))


def _say_choice(experiment: Experiment) -> None:
    """Where a rule chose the model: which one, and why."""
    if experiment.model_choice is not None:
        _say(f"{'model':<10} {experiment.model_choice}")


def _explain(options: argparse.Namespace) -> None:
    with _without_collector():
        from treadle.config.compose import compose
        from treadle.explain.explanation import explain
        from treadle.explain.views import to_json, to_text

        selected = _select(options)
        composed = compose(overrides=[*selected, *options.overrides], root=Path.cwd(), places=selected)
        explanation = explain(composed, options.key)
    _say(to_json(explanation) if options.format == "json" else to_text(explanation))


def _schema(options: argparse.Namespace) -> None:
    from treadle.errors import TreadleError
    from treadle.schemas import files

    folder = options.output if options.output is not None else files.FOLDER
    changed = (files.find_stale if options.check else files.write_schemas)(Path.cwd(), folder)
    if options.check and changed:
        raise TreadleError(f"stale: {', '.join(map(str, changed))}; `treadle schema` writes them")
    _say("\n".join(map(str, changed)) or f"current  {folder}")


def _lineage(options: argparse.Namespace) -> None:
    from treadle.disk import write_text
    from treadle.lineage import views
    from treadle.lineage.graph import find_nodes, trace_experiment

    features = [word for word in options.overrides if "=" not in word and not word.startswith("~")]
    options.overrides = [word for word in options.overrides if word not in features]
    experiment, _ = _resolve(options, absent="pass")
    graph = trace_experiment(experiment)
    names = [name for word in features for name in find_nodes(graph, word)]
    if options.format == "text":
        text = "\n\n".join(views.print_tree(graph, name) for name in names) or views.print_list(graph)
    else:
        draw = views.draw_mermaid if options.format == "mermaid" else views.draw_svg
        text = draw(graph, names or views.list_ends(graph))
    if options.output is None:
        _say(text)
    else:
        write_text(options.output, f"{text}\n")


# --- the turn -----------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> None:
    _bring_up(options, upto=STAGE_NAMES[-1])


def _run_stage(options: argparse.Namespace) -> None:
    from treadle.errors import TreadleError

    if options.folder is None and options.resolved is not None:
        raise TreadleError(
            f"--resolved names the configuration of a folder: add --folder, such as --folder artifacts; without both, "
            f"`treadle {options.verb}` composes its own configuration, and runs in a folder under runs/"
        )
    if options.folder is not None and options.overrides:
        raise TreadleError("overrides and --folder exclude each other: a folder's resolved.yaml is already composed")
    if options.folder is None or options.why:
        _bring_up(options, upto=options.verb)
        return
    from treadle.config.locations import find_place
    from treadle.experiment.resolved import FILE
    from treadle.pipeline import run_stage

    resolved_file = options.resolved if options.resolved is not None else options.folder / FILE
    with _naming_places(lambda key: find_place(resolved_file, key)):
        current = run_stage(options.verb, resolved_file=resolved_file, folder=options.folder, root=Path.cwd(), say=_say)
    _show(current, upto=options.verb, overrides=options.overrides)


def _bring_up(options: argparse.Namespace, *, upto: str) -> None:
    if options.cfg is not None:
        _compose(argparse.Namespace(selection=None, output=None, slices=None, overrides=options.overrides))
        return
    if options.why:
        _foresee(options, upto=upto)
        return
    experiment, values = _resolve(options)
    _say_choice(experiment)
    from treadle.config.compose import compose
    from treadle.pipeline import run

    with _naming_places(lambda key: compose(overrides=options.overrides, root=Path.cwd()).locate(key)):
        current = run(experiment, values, root=Path.cwd(), upto=upto, say=_say)
    _show(current, upto=upto, overrides=options.overrides)


@contextmanager
def _naming_places(locate: Callable[[str], Place]) -> Iterator[None]:
    """A target that fails when it is built is told with the place where the configuration asks for it."""
    from treadle.targets.build import BuildError

    try:
        yield
    except BuildError as error:
        raise error.at(str(locate(f"{error.key}._target_"))) from error


def _show(current: Run, *, upto: str, overrides: Sequence[str]) -> None:
    folder = current.folder.relative_to(Path.cwd()) if current.folder.is_relative_to(Path.cwd()) else current.folder
    if set(current.states.values()) == {"unchanged"}:
        _say(f"unchanged  {folder}")
    elif upto == STAGE_NAMES[-1]:
        from treadle.console import Console
        from treadle.runs.summary import print_summary

        console = Console(width=120)
        records = folder if current.record_folder == current.folder else current.record_folder
        print_summary(current.experiment, folder, records=records / "wandb", overrides=overrides, console=console)
    else:
        _say(f"{upto:<10} {folder}")


def _foresee(options: argparse.Namespace, *, upto: str) -> None:
    from treadle.pipeline import foresee, foresee_stage

    folder = getattr(options, "folder", None)
    if folder is None:
        _, values = _resolve(options)
        outlooks = foresee(values, root=Path.cwd(), upto=upto)
    else:
        values = _read_next(options)
        outlooks = [foresee_stage(upto, values=values, folder=folder, root=Path.cwd())]
    for outlook in outlooks:
        _say(f"{outlook.stage:<10} {outlook.state}: {', '.join(outlook.reasons)}")


def _read_next(options: argparse.Namespace) -> dict[str, Any]:
    """By what a stage of DVC's would run: the given resolved.yaml, else what `dvc repro` would compose first."""
    from treadle.config.selection import FILE
    from treadle.experiment.resolved import read_values

    if options.resolved is not None:
        return read_values(options.resolved)
    return _resolve(argparse.Namespace(selection=Path(FILE), overrides=[]))[1]


# --- results ------------------------------------------------------------------------------------------


def _diff(options: argparse.Namespace) -> None:
    from treadle.config.selection import FILE
    from treadle.console import Console
    from treadle.runs import diff

    root = Path.cwd()
    default = FILE if (root / FILE).is_file() else ""
    memory = root / "runs" / ".stages" / "files.json"
    sides = (options.before, default if options.after is None else options.after)
    before, after = (diff.read_side(text, root=root, memory=memory) for text in sides)
    diff.print_difference(before, after, Console(width=120))


def _compare(options: argparse.Namespace) -> None:
    from treadle.console import Console
    from treadle.errors import TreadleError
    from treadle.runs import comparison_views as views
    from treadle.runs.compare import compare_runs
    from treadle.runs.read import find_runs, read_run

    folders = find_runs(options.runs or [Path("runs")])
    if not folders:
        raise TreadleError("no finished run found; `treadle run` makes one")
    comparison = compare_runs([read_run(folder) for folder in folders])
    views.print_comparison(comparison, Console(width=160))
    if options.html is not None:
        views.write_page(comparison, options.html)
        _say(f"page     {options.html}")


def _verify(options: argparse.Namespace) -> int:
    from treadle.pipeline import verify

    findings = list(verify(options.runs, root=Path.cwd()))
    for finding in findings:
        _say("\n".join([f"{finding.state:<10} {finding.where}", *(f"  {detail}" for detail in finding.details)]))
    return int(any(finding.state == "damaged" for finding in findings))


def _predict(options: argparse.Namespace) -> int:
    from treadle.bundle import TARGETS, load, predict_file

    targets = [*TARGETS, *options.allow]
    code: Literal["same", "any"] = "any" if options.any_code else "same"
    bundle = load(options.run_folder, targets=targets, on_breach=options.on_breach, code=code)
    predicted = predict_file(bundle, options.rows, output=options.output)
    if predicted.told:
        sys.stderr.write(f"treadle predict: {escape_lines(predicted.told)}\n")
    _say(f"{predicted.num_rows:,} rows  {options.output}")
    return REJECTED if predicted.num_rejected else 0


def _init(options: argparse.Namespace) -> None:
    from treadle.console import Console
    from treadle.scaffold.init import Origin, init
    from treadle.scaffold.planning.plan import Request
    from treadle.scaffold.summary import print_summary

    request = Request(
        target=options.target,
        time=options.time,
        group=options.group,
        weight=options.weight,
        task=options.task,
        positive=options.positive,
        keep=tuple(options.keep),
        drop=tuple(options.drop),
    )
    origin = Origin(options.sources, table=options.table, missing=options.missing, encoding=options.encoding)
    made = init(options.folder, origin=origin, request=request)
    print_summary(made, Console(width=120))


def _completion(options: argparse.Namespace) -> None:
    if not options.words:
        from treadle.cli.completion.scripts import make_script

        _say(make_script(options.shell))
    else:
        from treadle.cli.completion.verbs import complete

        for answer in complete(options.typed, root=Path.cwd(), parser=build_parser()):
            _say(answer)


VERBS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "check": _check,
    "compose": _compose,
    "run": _run,
    **dict.fromkeys(STAGE_NAMES, _run_stage),
    "explain": _explain,
    "schema": _schema,
    "lineage": _lineage,
    "diff": _diff,
    "compare": _compare,
    "verify": _verify,
    "predict": _predict,
    "init": _init,
    "completion": _completion,
}
