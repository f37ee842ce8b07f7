from sweeps import ACCURACY, LOSS, make_sweep
from treadle.console import Console
from treadle.sweeps.answer import rank
from treadle.sweeps.axes import Choices
from treadle.sweeps.ledger import Trial
from treadle.sweeps.plan import Plan
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

    Progress(sweep, console).update(Plan(sweep, ledger, tmp_path, lambda *_: None), ledger.trials[2])
    print_answer(sweep, ledger, rank(list(ledger.trials.values()), higher_is_better=False), console)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f"sizes=[/x] seed=0  KeyError: [/no] such; see sweeps/{sweep.name}/trials/0002/log.txt")
    assert lines[2].split() == ["1", "0.5000", "1", "[relu]"]


def test_of_several_objectives_the_pareto_front_stands_first(tmp_path, capsys):
    widths = ("8", "16", "32", "64")
    values = {"8": [0.1, 0.7], "16": [0.2, 0.6], "32": [0.3, 0.9], "64": [0.4, 0.95]}  # 16 is dominated by 8
    sweep, ledger = make_sweep(tmp_path, [Choices("width", widths)], objectives=(LOSS, ACCURACY), sampler="nsga2")
    ledger.add([Trial(n, {"width": width}, 0, "search", f"r-{width}") for n, width in enumerate(widths, start=1)])
    for number, width in enumerate(widths, start=1):
        ledger.end(number, "done", values=values[width])

    print_answer(sweep, ledger, rank(list(ledger.trials.values()), higher_is_better=False), Console(width=160))

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["valid/loss", "spread", "valid/accuracy", "n", "width"]
    assert [line.split() for line in lines[1:5]] == [
        ["*", "0.1000", "0.7000", "1", "8"],
        ["*", "0.3000", "0.9000", "1", "32"],
        ["*", "0.4000", "0.9500", "1", "64"],
        ["4", "0.2000", "0.6000", "1", "16"],
    ]
    assert "3 on the Pareto front: no other setting is as good in all objectives and better in one" in lines
    assert [line.split()[1] for line in lines if line.startswith("front")] == ["runs/r-8", "runs/r-32", "runs/r-64"]
    assert not any(line.startswith("best") for line in lines)
