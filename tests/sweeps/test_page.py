import html
import itertools
import math
import random
import re

import pytest

from browser import needs_chromium, open_page
from sweeps import ACCURACY, LOSS, make_sweep
from treadle.cli.main import main
from treadle.sweeps.axes import Choices, Interval
from treadle.sweeps.ledger import Ledger, Trial
from treadle.sweeps.page import write_page

LR = Interval("schedule.optimizer.lr", 1e-4, 1e-1, is_log=True, is_integer=False)
WIDTH = Choices("model.width", ("64", "16", "32"))
LAYERS = Interval("model.num_layers", 1, 4, is_log=False, is_integer=True)
MODEL = Choices("model", ("mlp", "tabm"))


def draw(axis, generator):
    if isinstance(axis, Choices):
        return generator.choice(axis.values)
    if axis.is_integer:
        return str(generator.randint(int(axis.low), int(axis.high)))
    low, high = (math.log(axis.low), math.log(axis.high)) if axis.is_log else (axis.low, axis.high)
    value = generator.uniform(low, high)
    return repr(math.exp(value) if axis.is_log else value)


def to_params(axes, setting):
    """As a sampler keeps it: numbers of intervals, texts of lists."""
    keys = {axis.key: axis for axis in axes}
    return {
        key: text if isinstance(keys[key], Choices) else int(text) if keys[key].is_integer else float(text)
        for key, text in setting.items()
    }


def measure(setting, generator):
    """Best at a rate of 0.003 and many layers."""
    rate = math.log10(float(setting.get(LR.key, "3e-3"))) + 2.5
    return 0.3 + 0.2 * rate**2 + 0.02 * (4 - int(setting.get(LAYERS.key, "4"))) + generator.gauss(0, 0.005)


def fill(sweep, ledger, count, *, epochs=5, pruned=()):
    """Trials of drawn settings, each with a curve that falls to its value."""
    generator = random.Random(0)  # noqa: S311 - settings, no secrets
    for index in range(count):
        setting = {axis.key: draw(axis, generator) for axis in sweep.space.axes}
        suggestion = {"params": to_params(sweep.space.axes, setting), "system_attrs": {}}
        first = len(ledger.trials) + 1
        trials = [
            Trial(first + i, setting, seed, "search", f"r-{first + i}", suggestion)
            for i, seed in enumerate(sweep.seeds)
        ]
        ledger.add(trials)
        for trial in trials:
            value = measure(setting, generator)
            ledger.start(trial.number, pid=1)
            last = 2 if index in pruned else epochs
            for epoch in range(1, last + 1):
                ledger.report(trial.number, epoch=epoch, value=value + 0.8 * math.exp(-epoch / 2))
            if index in pruned:
                ledger.end(trial.number, "pruned", seconds=1.0)
            else:
                values = [value, 1 - value + generator.gauss(0, 0.1)][: len(sweep.objectives)]
                ledger.end(trial.number, "done", values=values, seconds=2.0)


def read_page(sweep, root):
    path = root / "page.html"
    write_page(sweep, Ledger(sweep.folder, is_driven=False), path, root=root)
    return path.read_text()


def list_heads(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def list_titles(page, start):
    """The texts under the pointer of a chart's marks, from a heading on."""
    return [html.unescape(t) for t in re.findall(r"<g><title>(.*?)</title>", page[page.index(f"<h2>{start}") :])]


@pytest.mark.slow
def test_a_search_is_shown_with_its_curves_slices_and_importance(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [LR, WIDTH, LAYERS], seeds=(0, 1), question="Which rate?")
    fill(sweep, ledger, 12, pruned={3, 7})

    page = read_page(sweep, tmp_path)

    wanted = ["Answer", "Learning curves", "Parallel coordinates", "Importance", "Slices", "Pruned trials"]
    assert list_heads(page) == wanted
    assert page.count("<tr>") == 1 + 10
    curves = list_titles(page, "Learning curves")[:24]
    assert len(set(curves)) == 24
    assert sum("pruned" in title for title in curves) == 4
    assert "from 10 settings: rough below 50" in page
    assert "Which rate?" in page
    assert "4 after epoch 2" in page
    shares = re.findall(r"<dt>(\w+)</dt><dd>(\d+) %", page)
    assert shares[0][0] == "lr"
    assert 99 <= sum(int(share) for _, share in shares) <= 101


def test_the_best_setting_is_the_bold_row(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [WIDTH], sampler="grid")
    for number, (width, score) in enumerate([("16", 0.4), ("32", 0.25), ("64", 0.3)], start=1):
        ledger.add([Trial(number, {"model.width": width}, 0, "search", f"r-{number}")])
        ledger.end(number, "done", values=[score], seconds=1.0)

    page = read_page(sweep, tmp_path)

    assert re.findall(r'<td class="best">(.*?)</td>', page) == ["0.2500"]
    assert list_heads(page) == ["Answer", "Slices"]
    assert re.findall(r">(16|32|64)</text>", page) == ["16", "32", "64"]


@pytest.mark.slow
def test_the_importance_of_a_grid_is_measured_too(tmp_path, capsys, monkeypatch):
    axes = [WIDTH, Choices(LR.key, ("0.001", "0.01", "0.1"))]
    sweep, ledger = make_sweep(tmp_path, axes, sampler="grid")
    generator = random.Random(1)  # noqa: S311 - settings, no secrets
    for number, values in enumerate(itertools.product(*(axis.values for axis in axes)), start=1):
        setting = dict(zip((axis.key for axis in axes), values, strict=True))
        ledger.add([Trial(number, setting, 0, "search", f"r-{number}")])
        ledger.end(number, "done", values=[measure(setting, generator)], seconds=1.0)
    monkeypatch.chdir(tmp_path)

    assert main(["compare", str(sweep.folder), "--html", "out/page.html"]) in {0, None}

    assert re.search(
        r"importance \(PED-ANOVA\): schedule.optimizer.lr \d+%, model.width \d+% \(from 9 settings",
        capsys.readouterr().out,
    )
    assert "<h2>Importance</h2>" in (tmp_path / "out/page.html").read_text()


@pytest.mark.slow
def test_an_axis_on_which_settings_do_not_differ_has_no_importance(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [LR, MODEL, LAYERS])
    for number in range(1, 13):
        setting = {LR.key: repr(0.001 * number), "model": MODEL.values[number % 2], LAYERS.key: "1"}
        suggestion = {"params": to_params(sweep.space.axes, setting), "system_attrs": {}}
        ledger.add([Trial(number, setting, 0, "search", f"r-{number}", suggestion)])
        ledger.end(number, "done", values=[0.1 * number], seconds=1.0)
    page = read_page(sweep, tmp_path)
    assert re.findall(r"<dt>(\w+)</dt>", page) == ["lr", "model"]
    assert "Not measured, as too few settings differ in them: model.num_layers." in page


@pytest.mark.parametrize("axes", [[LR, WIDTH], [WIDTH], []], ids=["two", "one", "seeds"])
def test_a_sweep_without_a_finished_trial_says_so(tmp_path, axes):
    sweep, ledger = make_sweep(tmp_path, axes, seeds=(0, 1))
    assert "nothing to rank" in read_page(sweep, tmp_path)  # no trial at all
    setting = {axis.key: "0.01" if axis is LR else "16" for axis in axes}
    ledger.add([Trial(1, setting, 0, "search", "r-1"), Trial(2, setting, 1, "search", "r-2")])
    ledger.start(1, pid=1)
    ledger.report(1, epoch=1, value=0.7)

    page = read_page(sweep, tmp_path)

    assert "nothing to rank" in page
    assert "not finished: 1 running, 1 waiting" in page
    assert list_heads(page) == ["Answer", "Learning curves"]


def test_seeds_alone_are_one_row(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [], seeds=(0, 1, 2), sampler="grid")
    fill(sweep, ledger, 1)
    page = read_page(sweep, tmp_path)
    assert list_heads(page) == ["Answer", "Learning curves"]
    assert page.count("<tr>") == 2


def test_an_axis_of_one_option_is_empty_for_the_other(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [MODEL, WIDTH], sampler="grid")
    settings = [{"model": "mlp", "model.width": "16"}, {"model": "mlp", "model.width": "64"}, {"model": "tabm"}]
    for number, setting in enumerate(settings, start=1):
        ledger.add([Trial(number, setting, 0, "search", f"r-{number}")])
        ledger.end(number, "done", values=[0.1 * number], seconds=1.0)
    page = read_page(sweep, tmp_path)
    assert ">none</text>" in page
    assert len(list_titles(page, "Parallel coordinates")) == 3 + 3 + 2 + 2  # lines, two slices, both together


def test_two_objectives_show_the_front(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [WIDTH], objectives=(LOSS, ACCURACY), sampler="nsga2")
    for number, values in enumerate([[0.2, 0.7], [0.3, 0.9], [0.3, 0.8]], start=1):
        ledger.add([Trial(number, {"model.width": WIDTH.values[number - 1]}, 0, "search", f"r-{number}")])
        ledger.end(number, "done", values=values, seconds=1.0)
    page = read_page(sweep, tmp_path)
    front = page[page.index("<h2>Pareto front</h2>") : page.index("<h2>Slices</h2>")]
    assert re.findall(r'<th scope="row">(.*?)</th>', front) == ["1 ◆", "2 ◆"]
    assert "valid/accuracy ↑" in front


def test_the_front_leaves_out_what_is_no_number(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [WIDTH], objectives=(ACCURACY, LOSS), sampler="nsga2")
    for number, values in enumerate([[0.7, math.nan], [0.9, 0.5], [0.6, 0.6]], start=1):
        ledger.add([Trial(number, {"model.width": WIDTH.values[number - 1]}, 0, "search", f"r-{number}")])
        ledger.end(number, "done", values=values, seconds=1.0)
    page = read_page(sweep, tmp_path)
    assert re.findall(r'<th scope="row">(.*?)</th>', page) == ["1 ◆", "2", "3", "1 ◆"]
    assert re.search(r"valid/accuracy ↑: 0.6000 <span.*?</span> 0.9000", page, re.DOTALL)  # from worst to best


def test_confirmed_settings_are_marked_and_counted_by_their_fresh_seeds(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [WIDTH])
    fill(sweep, ledger, 1)
    (setting,) = {trial.setting["model.width"] for trial in ledger.trials.values()}
    ledger.add([Trial(n, {"model.width": setting}, n, "confirm", f"r-{n}") for n in (2, 3)])
    ledger.end(2, "done", values=[0.5], seconds=1.0)
    ledger.end(3, "done", values=[0.7], seconds=1.0)
    page = read_page(sweep, tmp_path)
    assert '<th scope="row">1 ✓</th>' in page
    assert re.findall(r'<td class="best">(.*?)</td>', page) == ["0.6000"]


def test_a_failed_trial_is_shown_with_its_error_and_log(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [WIDTH])
    fill(sweep, ledger, 2)
    ledger.add([Trial(3, {"model.width": "32"}, 0, "search", "r-3")])
    ledger.start(3, pid=1)
    ledger.report(3, epoch=1, value=math.nan)
    ledger.end(3, "failed", error="ValueError: <b>no luck</b>", seconds=1.0, exit_code=1)
    page = read_page(sweep, tmp_path)
    assert "ValueError: &lt;b&gt;no luck&lt;/b&gt;" in page
    assert f"<code>sweeps/{sweep.name}/trials/0003/log.txt</code>" in page


def test_odd_names_are_shown_as_they_are(tmp_path):
    odd = ("<script>alert(1)</script>", "$x_1$", "\"&'", "日本", "_a", "x" * 60)
    axes = [Choices("model.name", odd), Choices("+extra.name", ("a", "b"))]
    sweep, ledger = make_sweep(tmp_path, axes, sampler="grid", question="<i>Why</i>?")
    for number, name in enumerate(odd, start=1):
        ledger.add([Trial(number, {"model.name": name, "+extra.name": "a"}, 0, "search", f"r-{number}")])
        ledger.end(number, "done", values=[0.1 * number], seconds=1.0)

    page = read_page(sweep, tmp_path)

    assert "<script" not in page
    assert "<i>Why" not in page
    assert [name for name in odd if f"<td>{html.escape(name, quote=False)}</td>" not in html_plain(page)] == []


def html_plain(page):
    """Quotes as they are: they need no escape outside tags."""
    return page.replace("&#34;", '"').replace("&#39;", "'")


def test_the_curve_of_a_run_that_was_made_before_is_read_from_it(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [WIDTH])
    (tmp_path / "runs/r-1").mkdir(parents=True)
    (tmp_path / "runs/r-1/metrics.csv").write_text("epoch,valid/loss\n1,0.9\n2,0.5\n")
    ledger.add([Trial(1, {"model.width": "16"}, 0, "search", "r-1")])
    ledger.end(1, "done", values=[0.5], is_reused=True)
    assert "Learning curves" in list_heads(read_page(sweep, tmp_path))


@pytest.mark.exhaustive
@pytest.mark.slow
def test_hundreds_of_trials_stay_below_two_megabytes(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [LR, WIDTH, LAYERS, MODEL])
    fill(sweep, ledger, 700, epochs=30, pruned=range(0, 700, 3))
    page = read_page(sweep, tmp_path)
    assert len(page.encode()) < 2_000_000
    assert "the others, up to 200 of 466" in page
    assert "shows at most 300" in page


@pytest.mark.slow
@needs_chromium
def test_a_browser_shows_it_and_loads_nothing(tmp_path):
    sweep, ledger = make_sweep(tmp_path, [LR, WIDTH, LAYERS], objectives=(LOSS, ACCURACY))
    fill(sweep, ledger, 20)
    page = read_page(sweep, tmp_path)
    # What the page's own policy refuses to load is a message in the browser's console; shown on a page that tries.
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    (tmp_path / "bad.html").write_text(page.replace("</h1>", '</h1><img src="http://127.0.0.1:9/x.png">'))

    assert open_page(tmp_path / "bad.html")[1] != []
    shown, messages = open_page(tmp_path / "page.html")

    assert messages == []
    assert shown.count("<svg") == page.count("<svg")
    assert ">Slices<" in shown
