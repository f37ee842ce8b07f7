"""Verbs about a model in use: whether its inputs still are what it was trained on, and how well it does."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb
from treadle.monitoring.usual import FALSE_ALARMS, MIN_LABELS
from treadle.printable import escape_lines
from treadle.wording import number_of

if TYPE_CHECKING:
    from treadle.bundle import Predictor
    from treadle.monitoring.alerts import Alerting
    from treadle.monitoring.counted import Counted
    from treadle.monitoring.findings import Findings
    from treadle.profiles.reference import Reference


def _add_monitor(parser: argparse.ArgumentParser) -> None:
    text = "a run's folder, or champion, or NAME@champion (default: artifacts)"
    parser.add_argument("run_folder", nargs="?", metavar="RUN", help=text)
    log = "rows that came later: a folder of Parquet files, as `treadle serve` writes it, or a Parquet, CSV or TSV file"
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--log", type=Path, metavar="PATH", help=log)
    profiles = "counts of such rows: a file of `treadle profile`, or a folder of them, whose counts are added up"
    given.add_argument("--profiles", type=Path, metavar="PATH", help=profiles)
    parser.add_argument("--time", metavar="COLUMN", help="column of the time (default: predict_at, or time)")
    share = f"share of normal blocks that may alarm, of all columns together (default: {FALSE_ALARMS:g})"
    parser.add_argument("--false-alarms", type=float, default=FALSE_ALARMS, metavar="SHARE", help=share)
    season = "compare numbers with the reference's of the same hours and time of the year, too"
    parser.add_argument("--season", action="store_true", help=season)
    ignore = "columns that are not judged, separated by commas, besides those of evaluation.reference.ignore"
    parser.add_argument("--ignore", default="", metavar="COLUMNS", help=ignore)
    parser.add_argument("--last", type=int, metavar="N", help="judge the newest N blocks alone")
    labels = f"share of a day's labels that must be there for it to count (default: {MIN_LABELS:g})"
    parser.add_argument("--min-labels", type=float, default=MIN_LABELS, metavar="SHARE", help=labels)
    reference = "reference of the model, where it is not in the run's folder"
    parser.add_argument("--reference", type=Path, metavar="FOLDER", help=reference)
    least = (
        "a drift of the inputs alarms only where it moves the mean prediction by at least so much, or where its effect "
        "is not known (default: 0, any alarms)"
    )
    parser.add_argument("--min-effect", type=float, default=0.0, metavar="NUMBER", help=least)
    parser.add_argument("--no-effect", action="store_true", help="do not load the bundle to weigh alarms")
    own = "your own package, where the bundle uses it"
    parser.add_argument("--allow", action="append", default=[], metavar="PREFIX", help=own)
    output = "also write report.html, findings.json and metrics.prom there"
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=output)
    track = "also log it with the tracker of the model's experiment, one run for each bundle; needs --output"
    parser.add_argument("--track", action="store_true", help=track)
    parser.add_argument("--webhook", metavar="URL", help="post new alarms there as JSON; needs --output, to remember")
    command = "give new alarms as JSON to a command's standard input; needs --output, to remember"
    parser.add_argument("--command", metavar="COMMAND", help=command)
    quiet = "for which the same columns are not told again (default: 1d)"
    parser.add_argument("--quiet", default="1d", metavar="DURATION", help=quiet)
    parser.add_argument("--format", choices=["text", "json", "github"], default="text", help="how to print it")


def _monitor(options: argparse.Namespace) -> int:
    from treadle.monitoring.alerts import send_alerts
    from treadle.monitoring.views import write_annotations, write_text

    _check(options)
    alerting = _make_alerting(options)
    now = datetime.now(tz=UTC).replace(tzinfo=None)
    findings = _find(options, now=now)
    if options.format == "json":
        print_lines(json.dumps(findings.to_plain(), indent=2))
    else:
        print_lines(write_annotations(findings) if options.format == "github" else write_text(findings))
    if options.output is not None:
        _write(findings, options.output)
    if options.track:
        _record(findings, options)
    if alerting is not None and (told := send_alerts(findings, alerting, now=now)):
        sys.stderr.write(escape_lines(f"told of {', '.join(told)}") + "\n")
    return 1 if findings.alarmed else 0


def _check(options: argparse.Namespace) -> None:
    from treadle.errors import TreadleError

    for name in ("false_alarms", "min_labels"):
        value = getattr(options, name)
        if not 0 < value <= (0.5 if name == "false_alarms" else 1):
            limits = "above 0 and at most 0.5" if name == "false_alarms" else "above 0 and at most 1"
            raise TreadleError(f"--{name.replace('_', '-')} must be {limits}; found {value:g}")
    if options.min_effect < 0:
        raise TreadleError(f"--min-effect must be at least 0; found {options.min_effect:g}")
    if options.min_effect > 0 and (options.no_effect or options.profiles is not None):
        other = "--no-effect" if options.no_effect else "--profiles"
        raise TreadleError(f"--min-effect needs the bundle and the rows, to weigh alarms: leave out {other}")
    if options.profiles is not None and options.time is not None:
        raise TreadleError("--time names a column of --log; the counts of --profiles have their blocks already")
    if options.track and options.output is None:
        raise TreadleError("--track needs --output FOLDER, where the record lies")
    if options.last is not None and options.last < 1:
        raise TreadleError(f"--last must be at least 1; found {options.last}")


def _make_alerting(options: argparse.Namespace) -> Alerting | None:
    from treadle.errors import TreadleError
    from treadle.experiment.durations import parse_duration
    from treadle.monitoring.alerts import Alerting

    try:
        quiet = parse_duration(options.quiet)
    except ValueError as error:
        raise TreadleError(f"--quiet {options.quiet!r}: {error}") from error
    if options.webhook is None and options.command is None:
        return None
    if options.output is None:
        raise TreadleError("--webhook and --command need --output FOLDER, which remembers what was told")
    return Alerting(options.webhook, options.command, quiet, options.output / "alerts.json")


def _find(options: argparse.Namespace, *, now: datetime) -> Findings:
    from treadle.champions.bundles import digest_bundle, find_folder
    from treadle.experiment.run_folder import RunFolder
    from treadle.monitoring.counted import read_counted
    from treadle.monitoring.log import open_log
    from treadle.monitoring.monitor import Monitored, monitor, monitor_counts
    from treadle.monitoring.settings import Settings
    from treadle.profiles.reference import read_reference

    run = find_folder(options.run_folder or "artifacts", root=Path.cwd())
    digest = digest_bundle(run)
    reference = read_reference(options.reference or RunFolder(run).reference)
    settings = Settings(
        false_alarms=options.false_alarms,
        min_share=options.min_labels,
        season=options.season,
        min_effect=options.min_effect,
        ignore=frozenset(name.strip() for name in options.ignore.split(",") if name.strip()),
        last=options.last,
    )
    monitored = Monitored(run.resolve().name, digest, str(options.log or options.profiles), now)
    if options.log is None:
        counted = read_counted(options.profiles, reference=reference, digest=digest)
        return monitor_counts(counted, reference=reference, settings=settings, monitored=monitored)
    log = open_log(options.log, reference=reference, time=options.time, digest=digest)

    def load() -> Predictor:
        from treadle.bundle import TARGETS, load

        return load(run, targets=[*TARGETS, *options.allow], on_breach="allow", code="any")  # it weighs alarms alone

    weigh = None if options.no_effect else load
    return monitor(log, reference=reference, settings=settings, load=weigh, monitored=monitored)


def _write(findings: Findings, folder: Path) -> None:
    from treadle.disk import write_json, write_text
    from treadle.monitoring.page import write_page
    from treadle.monitoring.views import write_gauges

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "findings.json", findings.to_plain())
    write_text(folder / "metrics.prom", write_gauges(findings))
    write_page(findings, folder / "report.html")


def _record(findings: Findings, options: argparse.Namespace) -> None:
    from treadle.champions.bundles import find_folder
    from treadle.experiment.resolved import read
    from treadle.experiment.run_folder import RunFolder
    from treadle.monitoring.record import record_findings

    run = find_folder(options.run_folder or "artifacts", root=Path.cwd())
    page = (options.output / "report.html").read_text(encoding="utf-8")
    record_findings(findings, read(RunFolder(run).resolved), folder=options.output, page=page, root=Path.cwd())


def _add_profile(parser: argparse.ArgumentParser) -> None:
    text = "a run's folder, or champion, or NAME@champion (default: artifacts)"
    parser.add_argument("run_folder", nargs="?", metavar="RUN", help=text)
    log = (
        "rows to count, as `treadle monitor` reads them; with --spark also an address that Spark reads, such as s3a://…"
    )
    parser.add_argument("--log", required=True, metavar="PATH", help=log)
    output = "Parquet file of the counts; one that is there is replaced"
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=output)
    parser.add_argument("--time", metavar="COLUMN", help="column of the time (default: predict_at, or time)")
    reference = "reference of the model, where it is not in the run's folder"
    parser.add_argument("--reference", type=Path, metavar="FOLDER", help=reference)
    spark = "count on a Spark cluster: local[N], spark://HOST:PORT, yarn (extra `spark`)"
    parser.add_argument("--spark", metavar="MASTER", help=spark)


def _profile(options: argparse.Namespace) -> None:
    from treadle.champions.bundles import digest_bundle, find_folder
    from treadle.experiment.run_folder import RunFolder
    from treadle.profiles.reference import read_reference

    run = find_folder(options.run_folder or "artifacts", root=Path.cwd())
    reference, digest = read_reference(options.reference or RunFolder(run).reference), digest_bundle(run)
    counted = _count(options, reference=reference, digest=digest)
    counted.write(options.output, reference=reference, digest=digest)
    rows, blocks = int(counted.profile.rows.sum()), len(counted.profile.blocks)
    units = reference.blocking.unit if blocks == 1 else f"{reference.blocking.unit}s"
    print_lines(f"{options.output}  {rows:,} rows, {blocks} {units}, {len(reference.columns)} columns")


def _count(options: argparse.Namespace, *, reference: Reference, digest: str) -> Counted:
    if options.spark is None:
        from treadle.monitoring.counted import count_log
        from treadle.monitoring.log import open_log

        log = open_log(Path(options.log), reference=reference, time=options.time, digest=digest)
        return count_log(log, reference=reference)
    from treadle.monitoring.spark import count_by_spark, open_spark

    with open_spark(options.spark) as session:
        return count_by_spark(options.log, reference=reference, time=options.time, digest=digest, session=session)


def _add_feedback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="labels: Parquet, CSV or TSV")
    parser.add_argument("--log", type=Path, required=True, metavar="PATH", help="the log whose rows they are for")
    by = "columns that say which row a label is for, separated by commas (default: id)"
    parser.add_argument("--by", default="id", metavar="COLUMNS", help=by)
    label = "column of the labels (default: label); of several labels their columns, separated by commas"
    parser.add_argument("--label", default="label", metavar="COLUMN", help=label)
    empty = "what a row without a label says: none has come yet (default), or none ever will, as of a cancelled flight"
    parser.add_argument("--empty", choices=["awaited", "never"], default="awaited", help=empty)


def _feedback(options: argparse.Namespace) -> None:
    from treadle.monitoring.labels import store_labels

    now = datetime.now(tz=UTC).replace(tzinfo=None)
    by = [name.strip() for name in options.by.split(",")]
    stored = store_labels(options.file, log=options.log, by=by, label=options.label, empty=options.empty, now=now)
    when = "none yet" if options.empty == "awaited" else "never any"
    left = f"; {when} of {number_of(stored.num_empty, 'row')}" if stored.num_empty else ""
    lost = f"; {stored.num_strays:,} match no row of the log, by {', '.join(by)} (--by)" if stored.num_strays else ""
    print_lines(f"{number_of(stored.num_rows, 'label')}  {stored.file}{left}{lost}")


VERBS = (
    Verb("monitor", "Compare later rows with those of the training; exit code 1 on an alarm.", _add_monitor, _monitor),
    Verb("profile", "Count later rows into a small file that monitor judges without them.", _add_profile, _profile),
    Verb("feedback", "Add labels that came later to a log.", _add_feedback, _feedback),
)
