"""What monitoring has found, as the rules of retraining name its files."""

from __future__ import annotations

import json
from pathlib import Path

from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.spec import AlarmRule, Retrain


def read_alarms(settings: Retrain, *, findings: Path | None, root: Path) -> dict[str, str]:
    """What monitoring found, by the path of its findings.

    Args:
        settings: the rules.
        findings: in place of the files that rules name; None: those.
        root: the project, which those are relative to.

    Raises:
        TreadleError: a file of findings is none.
    """
    alarms = {}
    for name, rule in settings.act.items():
        if not isinstance(rule, AlarmRule):
            continue
        file = findings or root / rule.findings
        try:
            found = json.loads(read_text(file))["alarm"] if file.is_file() else False
        except (ValueError, KeyError, TypeError) as error:
            fix = "`treadle monitor --output` writes it as findings.json"
            raise TreadleError(f"retrain.act.{name}.findings: {file} has no findings: {error}; {fix}") from error
        if found:
            alarms[rule.findings] = "monitoring alarmed"
    return alarms
