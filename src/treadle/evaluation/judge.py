"""Run the checks of `evaluation.checks`."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from treadle.errors import TreadleError
from treadle.evaluation.evaluated import Evaluated
from treadle.experiment.spec.evaluation import Check
from treadle.outcomes import Finding, Outcome
from treadle.targets.build import bind
from treadle.targets.injected import list_allowed


def run_checks(evaluated: Evaluated) -> list[Finding]:
    """The finding of each check, in the order of the configuration; an entry of null is left out.

    Raises:
        TreadleError: a check failed to run, or gave something else than an `Outcome`.
    """
    checks = evaluated.experiment.evaluation.checks
    return [_run(code, check, evaluated) for code, check in checks.items() if check is not None]


def _run(code: str, check: Check, evaluated: Evaluated) -> Finding:
    key = f"evaluation.checks.{code}.function"
    targets = list_allowed(key, evaluated.experiment.targets)
    call = bind(check.function, key=key, targets=targets, evaluated=evaluated)
    try:
        outcome = call()
    except TreadleError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise TreadleError(f"{key}: {check.function['_target_']} failed: {type(error).__name__}: {reason}") from error
    if not isinstance(outcome, Outcome):
        raise TreadleError(
            f"{key}: must give a treadle.outcomes.Outcome (passed, failed or not_applicable), "
            f"found {type(outcome).__name__}: {outcome!r:.80}"
        )
    return Finding(code, _read_title(call.func, code), check.severity, outcome)


def _read_title(function: object, code: str) -> str:
    """The first line of its docstring."""
    text = inspect.getdoc(function) or code.replace("_", " ")
    return text.splitlines()[0].rstrip(".")


def write_findings(findings: list[Finding], path: Path) -> None:
    """By code, as JSON."""
    plain = {finding.code: finding.to_plain() for finding in findings}
    path.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_findings(path: Path) -> list[Finding]:
    """What `write_findings` wrote.

    Raises:
        TreadleError: the file is missing or damaged.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return [Finding.from_plain(code, values) for code, values in plain.items()]
    except FileNotFoundError as error:
        raise TreadleError(f"no {path}: evaluate the run with this version of Treadle: `treadle run`") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TreadleError(f"{path} is damaged: {type(error).__name__}: {error}; evaluate the run again") from error
