"""A model of the shop's orders as its evaluation leaves it, and a log of four weeks."""

import pytest
from sklearn.metrics import roc_auc_score

from orders import CARD, NAMES, ROWS, make_orders, measure_shares
from treadle.profiles.blocks import Blocking
from treadle.profiles.calibration import fit_calibration
from treadle.profiles.cells import fit_cells
from treadle.profiles.profile import count_rows
from treadle.profiles.reference import Performance, Reference


@pytest.fixture(scope="session")
def past():
    return make_orders(first=0, weeks=20, seed=0)


@pytest.fixture(scope="session")
def made(past, tmp_path_factory):
    columns = tuple(fit_cells(past.lazy(), name, bins=8, top=10) for name in NAMES)
    score, late = past["probability"].to_numpy(), past["late"].to_numpy().astype(float)
    metrics = {"auroc": float(roc_auc_score(late, score))}
    named = Blocking("week", 0).name_log(past.lazy(), time="time")
    reference = Reference(
        task="binary",
        blocking=Blocking("week", 0),
        columns=columns,
        ignored={"day": "the calendar"},
        num_paired=3,
        profile=count_rows(named, columns, num_paired=3),
        performance=Performance(metrics, 0.5, fit_calibration(score, late), None, {}, measure_shares(past)),
    )
    run = tmp_path_factory.mktemp("run") / "shop-1"
    reference.write(run / "evaluation" / "reference")
    (run / "bundle").mkdir()
    (run / "bundle" / "bundle.json").write_bytes(CARD)
    return run


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    for week, part in enumerate(make_orders(first=20, weeks=4, seed=1).drop("late").iter_slices(ROWS)):
        part.write_parquet(folder / f"{week}.parquet")
    return folder
