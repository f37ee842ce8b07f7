from sweeps import make_sweep
from treadle.console import Console
from treadle.sweeps.answer import rank
from treadle.sweeps.axes import Choices
from treadle.sweeps.drive import Drive
from treadle.sweeps.ledger import Trial
from treadle.sweeps.views import Progress, print_answer

KEY = "model.sizes"


def test_brackets_are_no_markup(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep, ledger = make_sweep(tmp_path, [Choices(KEY, ("[relu]", "[/x]"))], sampler="grid")
    ledger.add([Trial(1, {KEY: "[relu]"}, 0, "search", "r-1"), Trial(2, {KEY: "[/x]"}, 0, "search", "r-2")])
    ledger.end(1, "done", values=[0.5])
    ledger.end(2, "failed", error="KeyError: [/no] such")
    console = Console(width=160)
    sweep.get_trial_folder(2).mkdir(parents=True)
    (sweep.get_trial_folder(2) / "log.txt").touch()

    Progress(sweep, console).update(Drive(sweep, ledger, tmp_path, lambda *_: None), ledger.trials[2])
    print_answer(sweep, ledger, rank(list(ledger.trials.values()), higher_is_better=False), console)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f"sizes=[/x] seed=0  KeyError: [/no] such; see sweeps/{sweep.name}/trials/0002/log.txt")
    assert lines[2].split() == ["1", "0.5000", "1", "[relu]"]
