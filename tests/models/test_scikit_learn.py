"""The classes of scikit-learn that `model` takes, by the contract of every model that trains itself."""

import io
import json
import warnings
import zipfile

import numpy as np
import pytest
import torch

from estimators import CARDINALITIES, draw_rows, fit
from treadle.bundle import build_model, to_prediction
from treadle.errors import TreadleError
from treadle.experiment.libraries import CONSTANTS
from treadle.models.estimator import Estimator, Objective
from treadle.models.scikit_file import dump

pytest.importorskip("skops")

HISTOGRAMS = "sklearn.ensemble.HistGradientBoostingClassifier"
FOREST = "sklearn.ensemble.RandomForestClassifier"
CLASSIFIERS = [path for path, known in CONSTANTS.items() if "binary" in known["TASKS"]]
QUICK = {"max_iter": 8, "n_estimators": 6}
SETTINGS = {
    "HistGradientBoostingClassifier": {"learning_rate": 0.3},
    "HistGradientBoostingRegressor": {"learning_rate": 0.3},
    "SGDClassifier": {"alpha": 0.01},
    "ElasticNet": {"alpha": 0.01},
    "QuantileRegressor": {"alpha": 0.0},
}


def build(path, *, num_classes=0, num_numeric=3, cardinalities=CARDINALITIES, **changes):
    rounds = CONSTANTS[path]["ROUNDS"]
    node = {"_target_": path, **({rounds: QUICK[rounds]} if rounds else {}), **SETTINGS.get(path.split(".")[-1], {})}
    return build_model(
        {**node, **changes},
        targets=["treadle.models."],
        num_numeric=num_numeric,
        cardinalities=cardinalities,
        num_classes=num_classes,
    )


def draw(path, *, seed=0, num_classes=0):
    """Rows as the features of its kind give them: missing numbers only to those that take them."""
    task = "regression" if "regression" in CONSTANTS[path]["TASKS"] else "binary"
    rows = draw_rows(seed=seed, num_classes=num_classes, task=task)
    objective = CONSTANTS[path]["OBJECTIVES"][0]
    if objective == "poisson":
        rows = rows._replace(target=rows.target.exp())
    return rows if CONSTANTS[path]["RAW_INPUTS"] else rows._replace(numeric=rows.numeric.nan_to_num(0.0))


def train(path, *, num_classes=0, objective=None, watch=None, best=None, threads=1, **changes):
    model, rows = build(path, num_classes=num_classes, **changes), draw(path, num_classes=num_classes)
    regression = "regression" in CONSTANTS[path]["TASKS"]
    task = "regression" if regression else "multiclass" if num_classes else "binary"
    name = objective or CONSTANTS[path]["OBJECTIVES"][0]
    parameter, link = {"quantile": 0.9, "huber": 0.5}.get(name), "log" if name == "poisson" else "identity"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # twenty rounds converge to nothing
        fit(
            model,
            rows,
            task=task,
            objective=Objective(task, name, parameter, link),
            watch=watch,
            best=best,
            threads=threads,
        )
    return model, rows


@pytest.mark.parametrize("path", CONSTANTS, ids=lambda path: path.rpartition(".")[2])
def test_each_learns_is_the_same_again_and_travels_through_its_file(path, tmp_path):
    shown = []

    def watch(*, rounds, train, valid):
        shown.append(valid)
        return rounds

    model, rows = train(path, watch=watch)
    output = model(rows.numeric, rows.ids)
    again, _ = train(path)
    other = build(path)
    model.save(tmp_path / model.FILE)
    other.load(tmp_path / model.FILE)

    assert isinstance(model, Estimator)
    task = CONSTANTS[path]["TASKS"][0]
    link = "log" if CONSTANTS[path]["OBJECTIVES"][0] == "poisson" else "identity"
    found = to_prediction(output, task=task, link=link)
    assert torch.allclose(found, shown[-1].float(), atol=1e-5)
    if task == "binary":
        assert ((found > 0.5).float() == rows.target).float().mean() > 0.7
    elif CONSTANTS[path]["OBJECTIVES"] == ("quantile",):
        assert (rows.target <= found).float().mean() == pytest.approx(0.9, abs=0.03)
    else:
        assert (found - rows.target).square().mean() < 0.8 * rows.target.var()
    alone = torch.cat([model(rows.numeric[i : i + 1], rows.ids[i : i + 1]) for i in range(8)])
    assert torch.equal(alone, output[:8])
    assert model(rows.numeric[:0], rows.ids[:0]).shape == (0, 1)
    assert torch.equal(again(rows.numeric, rows.ids), output)
    assert torch.equal(other(rows.numeric, rows.ids), output)
    other.save(tmp_path / "again")
    again.save(tmp_path / "trained again")
    for name in ("again", "trained again"):
        assert (tmp_path / name).read_bytes() == (tmp_path / model.FILE).read_bytes()


@pytest.mark.parametrize("path", [HISTOGRAMS, FOREST, "sklearn.linear_model.Ridge"])
def test_restarted_it_is_trained_on_other_rows_with_as_many_rounds_as_were_best(path):
    model, rows = train(path, best=5)
    fresh, _ = train(path, **({CONSTANTS[path]["ROUNDS"]: 5} if CONSTANTS[path]["ROUNDS"] else {}))
    once = model(rows.numeric, rows.ids)
    assert torch.equal(once, fresh(rows.numeric, rows.ids))
    others = draw(path, seed=1)
    task = CONSTANTS[path]["TASKS"][0]

    for each, best in ((model, 1), (fresh, None)):
        each.restart()
        fit(each, others, task=task, best=best)

    found = model(rows.numeric, rows.ids)
    assert torch.equal(found, fresh(rows.numeric, rows.ids))
    assert not torch.equal(found, once)


@pytest.mark.exhaustive
@pytest.mark.parametrize("path", CONSTANTS, ids=lambda path: path.rpartition(".")[2])
def test_the_number_of_threads_changes_no_byte(path, tmp_path):
    for threads in (1, 2):
        model, _ = train(path, threads=threads)
        model.save(tmp_path / str(threads))

    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("path", CLASSIFIERS, ids=lambda path: path.rpartition(".")[2])
def test_a_class_that_training_has_not_seen_has_no_probability(path):
    model, rows = train(path, num_classes=4)  # the rows have the classes 0 to 3, but fewer of the last

    seen = set(rows.target.tolist())
    shares = to_prediction(model(rows.numeric, rows.ids), task="multiclass", link="identity")

    assert shares.shape == (400, 4)
    assert (shares.argmax(dim=1) == rows.target).float().mean() > 0.5
    assert all(float(shares[:, k].max()) < 1e-6 for k in range(4) if k not in seen)


@pytest.mark.parametrize(("objective", "path"), [
    ("quantile", "sklearn.ensemble.HistGradientBoostingRegressor"),
    ("poisson", "sklearn.ensemble.HistGradientBoostingRegressor"),
    ("huber", "sklearn.linear_model.SGDRegressor"),
])  # fmt: skip
def test_it_minimises_the_loss_of_the_experiment(objective, path, tmp_path):
    model, rows = build(path, **({"max_iter": 40} if "Hist" in path else {})), draw_rows(task="regression")
    rows = rows._replace(numeric=rows.numeric.nan_to_num(0.0), target=rows.target.exp())
    parameter = {"quantile": 0.9, "huber": 0.5}.get(objective)
    link = "log" if objective == "poisson" else "identity"
    fit(model, rows, task="regression", objective=Objective("regression", objective, parameter, link))
    model.save(tmp_path / model.FILE)
    other = build(path)
    other.load(tmp_path / model.FILE)

    found = to_prediction(other(rows.numeric, rows.ids), task="regression", link=link)

    if objective == "quantile":
        assert (rows.target <= found).float().mean() == pytest.approx(0.9, abs=0.05)
    elif objective == "poisson":
        assert float(found.mean()) == pytest.approx(float(rows.target.mean()), rel=0.02)
    else:
        assert float(found.mean()) < float(rows.target.mean())


def test_it_keeps_the_best_round_and_stops_after_it():
    seen = []

    def watch(*, rounds, train, valid):
        seen.append(rounds)
        return min(rounds, 6)

    long, rows = train(HISTOGRAMS, max_iter=40, n_iter_no_change=6, learning_rate=0.3, watch=watch)
    short, _ = train(HISTOGRAMS, max_iter=6, learning_rate=0.3)

    assert seen == [2, 4, 6, 8, 10, 12]
    assert torch.allclose(long(rows.numeric, rows.ids), short(rows.numeric, rows.ids), atol=1e-5)


def test_a_heavy_row_counts_as_many():
    rows = draw_rows()
    both = rows._replace(
        numeric=torch.cat([rows.numeric, rows.numeric]),
        ids=torch.cat([rows.ids, rows.ids]),
        target=torch.cat([rows.target, 1 - rows.target]),
        weight=torch.cat([torch.full((400,), 4.0), torch.ones(400)]),
    )
    model = build(FOREST)
    fit(model, both)

    found = model(rows.numeric, rows.ids)[:, 0] > 0

    assert (found.float() == rows.target).float().mean() > 0.8


def test_a_direction_is_kept():
    model, rows = train(HISTOGRAMS, monotonic_cst={"b": -1})
    line = rows.numeric[:1].repeat(200, 1)
    line[:, 1] = torch.linspace(-3, 3, 200)

    assert (model(line, rows.ids[:1].repeat(200, 1))[:, 0].diff() <= 0).all()


def test_rows_of_one_class_are_refused_with_the_reason():
    model, rows = build("sklearn.linear_model.LogisticRegression"), draw("sklearn.linear_model.LogisticRegression")

    with pytest.raises(TreadleError, match=r"LogisticRegression cannot be trained on these rows: .*class"):
        fit(model, rows._replace(target=torch.zeros(400)))


@pytest.mark.parametrize("path", [HISTOGRAMS, FOREST])
@pytest.mark.parametrize("damage", ["a cycle", "a foreign child", "a foreign input", "another type", "cut", "nothing"])
def test_a_hostile_file_is_refused(path, damage, tmp_path):
    model, _ = train(path)
    file = tmp_path / "bad.skops"
    estimator = model.estimator
    if damage in ("cut", "nothing"):
        file.write_bytes(dump(estimator)[: -200 if damage == "cut" else 0])
    elif damage == "another type":
        content = dump(estimator)
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(file, "w") as written:
            for name in archive.namelist():
                data = archive.read(name)
                if name == "schema.json":
                    schema = json.loads(data)
                    schema["__class__"], schema["__module__"] = "Popen", "subprocess"
                    data = json.dumps(schema).encode()
                written.writestr(name, data)
    else:
        change_tree(estimator, damage)
        file.write_bytes(dump(estimator))

    with pytest.raises(TreadleError, match=r"bad\.skops") as caught:
        build(path).load(file)

    assert "\n" not in str(caught.value)


def change_tree(estimator, damage):
    key, value = {"a cycle": (0, 0), "a foreign child": (0, 10**6), "a foreign input": (1, 99)}[damage]
    if hasattr(estimator, "_predictors"):
        nodes = estimator._predictors[0][0].nodes  # noqa: SLF001 - nothing else leads to them
        nodes[("left", "feature_idx")[key]][0] = value
    else:
        tree = estimator.estimators_[0].tree_
        state = tree.__getstate__()
        state["nodes"] = state["nodes"].copy()
        state["nodes"][("left_child", "feature")[key]][0] = value
        tree.__setstate__(state)


def test_a_file_of_another_class_or_of_other_inputs_is_refused(tmp_path):
    model, _ = train(FOREST)
    model.save(tmp_path / "forest.skops")

    for other in (build(FOREST, num_numeric=7), build(FOREST.replace("RandomForest", "ExtraTrees"))):
        with pytest.raises(TreadleError, match=r"forest\.skops"):
            other.load(tmp_path / "forest.skops")


def test_a_function_of_the_library_is_never_called():
    with pytest.raises(TreadleError, match="outside the allowed"):
        build_model(
            {"_target_": "sklearn.datasets.load_iris"},
            targets=["treadle.models."],
            num_numeric=1,
            cardinalities=[],
            num_classes=0,
        )


def test_categories_of_a_linear_model_are_columns():
    model, rows = train("sklearn.linear_model.LogisticRegression")

    matrix = model._join(rows.numeric[:5], rows.ids[:5]).toarray()  # noqa: SLF001 - what the class is given

    assert matrix.shape == (5, 3 + 5 + 3)
    assert np.array_equal(matrix[:, 3:8].argmax(axis=1), rows.ids[:5, 0].numpy())
    assert matrix[:, 3:].sum() == 10
