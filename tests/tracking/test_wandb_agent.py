"""What `wandb agent` leaves in the environment of the command that it starts."""

import pytest

from treadle.errors import TreadleError
from treadle.tracking.wandb_agent import find_agent


@pytest.fixture
def leave(tmp_path, monkeypatch):
    def leave(text, *, run="abc"):
        (tmp_path / "config.yaml").write_text(text)
        values = {"SWEEP_ID": "s", "RUN_ID": run, "SWEEP_PARAM_PATH": str(tmp_path / "config.yaml")}
        for name, value in values.items():
            monkeypatch.setenv(f"WANDB_{name}", value)

    return leave


def test_parameters_are_the_setting_but_for_the_seed(leave):
    leave("wandb_version: 1\nseed: {value: 3}\n+model.extra: {desc: null, value: 0.5}\nmodel: {value: mlp}\n")
    agent = find_agent()
    assert (agent.sweep_id, agent.run_id) == ("s", "abc")
    assert agent.membership.setting == "model.extra=0.5 model=mlp"
    assert (agent.membership.group, agent.membership.job_type) == (None, None)


def test_without_a_run_there_is_no_agent(leave):
    leave("wandb_version: 1\n", run="")
    assert find_agent() is None


@pytest.mark.parametrize("text", ["seed: 3\n", "[", "- a\n"])
def test_a_file_of_something_else_is_named_with_what_sets_it(leave, text):
    leave(text)
    with pytest.raises(TreadleError, match=r"^WANDB_SWEEP_PARAM_PATH: .*config\.yaml does not hold the parameters"):
        find_agent()
