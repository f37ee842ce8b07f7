"""A replay as one self-contained HTML page: how models age, and what each policy gains for what it costs."""

from __future__ import annotations

from pathlib import Path

from treadle.disk import write_text
from treadle.pages.charts import Line, draw_chart
from treadle.pages.render import render_page
from treadle.replay.answer import CAVEAT, Ageing, Answer, Outcome
from treadle.replay.views import has_money, recommend, summarize


def write_page(answer: Answer, file: Path, *, name: str) -> None:
    """Write it.

    Args:
        answer: of the replay.
        file: to write.
        name: of the replay.
    """
    page = render_page(
        "replay.html.jinja",
        name=name,
        answer=answer,
        summary=recommend(answer),
        notes=list(summarize(answer))[1:-1],
        caveat=CAVEAT,
        charts=_draw(answer),
        ages=[_tabulate_age(answer, each) for each in answer.ageing],
        policies=[_tabulate(answer, outcome) for outcome in answer.outcomes],
        has_money=has_money(answer),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, page)


def _draw(answer: Answer) -> list[str]:
    return [_draw_ageing(answer), _draw_gains(answer)]


def _draw_ageing(answer: Answer) -> str:
    known = [(each.age, each.loss) for each in answer.ageing if each.loss is not None]
    ages = [1.0, *(float(age) for age, _ in known)]
    worse = [0.0, *(loss.value for _, loss in known)]
    band = ([0.0, *(loss.low for _, loss in known)], [0.0, *(loss.high for _, loss in known)])
    line = Line("worse than a new model", ages, worse, band=band)
    title = f"{answer.metric.title} lost by age"
    x = f"age, in blocks of {answer.plan.step}"
    return draw_chart(title=title, x=x, y=answer.metric.title, lines=[line], is_counted=True)


def _draw_gains(answer: Answer) -> str:
    """What policies gain over the first model, by how much they train, each with its interval."""
    lines = []
    for outcome in answer.outcomes:
        place = [outcome.money.total if has_money(answer) else float(outcome.num_trainings)]
        gain = outcome.gain
        value = gain.value if gain is not None else 0.0
        band = None if gain is None else ([gain.low], [gain.high])
        lines.append(Line(outcome.name, place, [value], band=band, is_apart=True))
    across = "cost" if has_money(answer) else "trainings"
    title = f"Gain in {answer.metric.title} over the first model"
    return draw_chart(title=title, x=across, y=answer.metric.title, lines=lines, is_counted=not has_money(answer))


def _tabulate_age(answer: Answer, each: Ageing) -> dict[str, object]:
    age = answer.plan.step.describe(each.age)
    return {"age": age, "value": each.value, "loss": each.loss, "num_blocks": each.num_blocks}


def _tabulate(answer: Answer, outcome: Outcome) -> dict[str, object]:
    starts = answer.plan.starts
    models = [f"{starts[stay.block]:%Y-%m-%d} ({stay.reason})" for stay in outcome.stays]
    return {
        "name": outcome.name,
        "is_recommended": outcome.name == answer.recommended,
        "value": outcome.value,
        "gain": outcome.gain,
        "behind": None if outcome.name == answer.best else outcome.behind,
        "trainings": outcome.num_trainings,
        "rows": f"{outcome.num_rows:,}",
        "minutes": f"{60 * outcome.hours:.1f}",
        "cost": f"{outcome.money.total:,.2f}",
        "models": models,
    }
