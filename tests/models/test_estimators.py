"""One contract for every model of conf/model that trains itself."""

import pytest
import torch

from estimators import build_estimator, draw_rows, fit, list_estimators
from treadle.bundle import to_prediction
from treadle.errors import TreadleError
from treadle.models.estimator import Estimator, Objective

QUICK = {"max_rounds": 20}
BY_NAME = {"catboost": {"learning_rate": 0.15, "random_strength": 0.0}}  # a level of its trees asks one question


def build(name, **changes):
    return build_estimator(name, **{**QUICK, **BY_NAME.get(name, {}), **changes})


def predict(model, rows, *, task="binary", link="identity"):
    return to_prediction(model(rows.numeric, rows.ids), task=task, link=link)


@pytest.mark.parametrize("name", list_estimators())
class TestEveryEstimator:
    def test_is_one(self, name):
        assert isinstance(build(name), Estimator)

    @pytest.mark.parametrize(("task", "num_classes"), [("binary", 0), ("regression", 0), ("multiclass", 3)])
    def test_learns_and_watches_its_own_predictions(self, name, task, num_classes):
        model = build(name, num_classes=num_classes)
        rows, others = (
            draw_rows(task=task, num_classes=num_classes),
            draw_rows(seed=1, task=task, num_classes=num_classes),
        )
        shown = []

        def watch(*, rounds, train, valid):
            shown.append((train, valid))
            return rounds

        fit(model, rows, others, task=task, watch=watch)

        assert model(rows.numeric, rows.ids).shape == (400, max(1, num_classes))
        for batch, seen in zip((rows, others), shown[-1], strict=True):
            assert torch.allclose(predict(model, batch, task=task), seen.float(), atol=1e-5)
        found = predict(model, others, task=task)
        if task == "regression":
            assert (found - others.target).square().mean() < 0.5 * others.target.var()
        else:
            guess = found.argmax(dim=1) if num_classes else (found > 0.5).float()
            assert (guess == others.target).float().mean() > 0.75

    def test_keeps_the_best_round_and_stops_after_it(self, name):
        rows = draw_rows()
        short, long = (build(name, eval_period=1, early_stopping_rounds=5, max_rounds=n) for n in (4, 500))
        seen = []

        def watch(*, rounds, train, valid):
            seen.append(rounds)
            return min(rounds, 4)

        fit(long, rows, watch=watch)
        fit(short, rows)

        assert seen == [*range(1, 10)]
        if name == "catboost":  # its first trees depend on how many there are to be
            assert long.booster.tree_count_ == short.booster.tree_count_ == 4
            return
        assert torch.equal(long(rows.numeric, rows.ids), short(rows.numeric, rows.ids))

    def test_restarted_it_adds_as_many_rounds_to_other_rows_as_were_best(self, name):
        rows, others = draw_rows(), draw_rows(500, seed=1)
        changes = {"eval_period": 1, "early_stopping_rounds": 5}
        model, fresh = build(name, max_rounds=500, **changes), build(name, max_rounds=4, **changes)
        fit(model, rows, best=4)
        once = model(others.numeric, others.ids)

        model.restart()
        fit(model, others, best=1)

        fit(fresh, others)
        found = model(others.numeric, others.ids)
        assert torch.equal(found, fresh(others.numeric, others.ids))
        assert not torch.equal(found, once)

    def test_ends_at_once_when_its_watch_says_so(self, name):
        seen = []

        def watch(*, rounds, train, valid):
            seen.append(rounds)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(build(name), draw_rows(), watch=watch)
        assert len(seen) == 1

    @pytest.mark.parametrize("num_classes", [0, 3])
    def test_predicts_a_row_alone_as_among_others(self, name, num_classes):
        model, rows = build(name, num_classes=num_classes), draw_rows(num_classes=num_classes)
        fit(model, rows, task="multiclass" if num_classes else "binary")

        alone = torch.cat([model(rows.numeric[i : i + 1], rows.ids[i : i + 1]) for i in range(50)])

        assert torch.equal(alone, model(rows.numeric[:50], rows.ids[:50]))
        assert model(rows.numeric[:0], rows.ids[:0]).shape == (0, max(1, num_classes))

    def test_gives_the_same_numbers_again_with_any_number_of_threads(self, name):
        rows = draw_rows()
        first, again = build(name), build(name)
        fit(first, rows)
        fit(again, rows, threads=2)

        assert torch.equal(first(rows.numeric, rows.ids), again(rows.numeric, rows.ids))

    @pytest.mark.parametrize(("num_numeric", "cardinalities"), [(3, []), (0, [5, 3])])
    def test_takes_numbers_alone_and_categories_alone(self, name, num_numeric, cardinalities):
        rows = draw_rows()
        rows = rows._replace(numeric=rows.numeric[:, :num_numeric], ids=rows.ids[:, : len(cardinalities)])
        model = build(name, num_numeric=num_numeric, cardinalities=cardinalities)
        fit(model, rows)

        assert model(rows.numeric, rows.ids).isfinite().all()

    @pytest.mark.parametrize("num_classes", [0, 3])
    def test_travels_through_its_file(self, name, num_classes, tmp_path):
        model, other = build(name, num_classes=num_classes), build(name, num_classes=num_classes)
        rows = draw_rows(num_classes=num_classes)
        fit(model, rows, task="multiclass" if num_classes else "binary")

        model.save(tmp_path / model.FILE)
        other.load(tmp_path / model.FILE)

        assert torch.equal(model(rows.numeric, rows.ids), other(rows.numeric, rows.ids))
        other.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / model.FILE).read_bytes()

    def test_refuses_a_file_of_other_inputs_or_of_nothing(self, name, tmp_path):
        model = build(name)
        fit(model, draw_rows())
        model.save(tmp_path / model.FILE)

        for other in (build(name, num_numeric=7), build(name, num_classes=3)):
            with pytest.raises(TreadleError, match=model.FILE):
                other.load(tmp_path / model.FILE)
        for content in (b"", b"{}", b"\xff\x00", b"tree\nversion=v4\n", (tmp_path / model.FILE).read_bytes()[:-90]):
            (tmp_path / "bad").write_bytes(content)
            with pytest.raises(TreadleError, match="bad"):
                build(name).load(tmp_path / "bad")

    def test_weights_count_as_so_many_rows(self, name):
        """Of two groups that say the opposite, the heavier one wins."""
        rows = draw_rows()
        numeric = torch.cat([rows.numeric, rows.numeric])
        both = rows._replace(
            numeric=numeric,
            ids=torch.cat([rows.ids, rows.ids]),
            target=torch.cat([rows.target, 1 - rows.target]),
            weight=torch.cat([torch.full((400,), 4.0), torch.ones(400)]),
        )
        model = build(name)
        fit(model, both)

        assert ((predict(model, rows) > 0.5).float() == rows.target).float().mean() > 0.8

    @pytest.mark.parametrize("objective", ["quantile", "huber", "poisson", "tweedie"])
    def test_minimises_what_it_says(self, name, objective, tmp_path):
        if objective not in type(build(name)).OBJECTIVES:
            pytest.skip("it does not say so")
        generator = torch.Generator().manual_seed(0)
        rows = draw_rows(2000, task="regression")
        noise = torch.empty(2000).exponential_(generator=generator)
        rows = rows._replace(target=noise if objective != "huber" else noise + 20.0 * (noise > 3))
        parameter = {"quantile": 0.9, "huber": 0.5, "poisson": None, "tweedie": 1.5}[objective]
        link = "log" if objective in {"poisson", "tweedie"} else "identity"
        model = build(name, max_rounds=100)
        fit(model, rows, task="regression", objective=Objective("regression", objective, parameter, link))

        found = predict(model, rows, task="regression", link=link)

        other = build(name)
        model.save(tmp_path / model.FILE)
        other.load(tmp_path / model.FILE)
        assert torch.equal(other(rows.numeric, rows.ids), model(rows.numeric, rows.ids))
        if objective == "quantile":
            assert (rows.target <= found).float().mean() == pytest.approx(0.9, abs=0.03)
        elif objective == "huber":
            assert float(found.median()) < 1.4 < float(rows.target.mean())
        else:
            assert found.min() > 0
            assert float(found.mean()) == pytest.approx(float(rows.target.mean()), rel=0.1)

    @pytest.mark.parametrize("direction", [1, -1])
    def test_keeps_the_declared_direction(self, name, direction):
        if "monotone" not in build(name).__dict__:
            pytest.skip("it takes no directions")
        rows = draw_rows(task="regression")
        model = build(name, monotone={"b": direction})
        fit(model, rows, task="regression")
        line = rows.numeric[:1].repeat(200, 1)
        line[:, 1] = torch.linspace(-3, 3, 200)

        steps = model(line, rows.ids[:1].repeat(200, 1))[:, 0].diff() * direction

        assert (steps >= 0).all()
        free = build(name)
        fit(free, rows, task="regression")
        assert (free(line, rows.ids[:1].repeat(200, 1))[:, 0].diff() * direction < 0).any()
