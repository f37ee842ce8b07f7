"""An evaluation of a model that rules have taught: training rows have a column more than others."""

import json

import pytest

from runs import treadle
from treadle.evaluation.judge import read_findings
from treadle.experiment.run_folder import RunFolder

QUICK = ["schedule.max_epochs=1", "tracker=disabled", "evaluation.baselines=[prior]", "evaluation.explanation=null"]


@pytest.mark.slow
def test_every_check_has_an_answer(project):
    assert treadle("run", "experiment=adult_rules", *QUICK) == 0

    (path,) = project.glob("runs/adult_rules-*")
    found = {finding.code: finding.outcome for finding in read_findings(RunFolder(path).checks)}
    assert found["shift"].state == "pass"
    assert found["overlap"].state in {"pass", "fail"}
    assert 0 < json.loads(RunFolder(path).numbers.read_text())["questions"]["shift_auc"] < 0.8
