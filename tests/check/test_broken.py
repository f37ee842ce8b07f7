"""A table of broken experiments, one a kind of mistake, each with the whole message that it must produce.

The messages stand in tests/check/broken/; after a change on purpose: `python tests/check/test_broken.py`.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from treadle.check.resolve import resolve
from treadle.config.selection import read_selection
from treadle.errors import TreadleError
from treadle.problems import ConfigError, report

ROOT = Path(__file__).parents[2]
SNAPSHOTS = Path(__file__).parent / "broken"

FLIGHTS = "data/flights"
BLOCKS = "MedInc,HouseAge,AveRooms,AveBedrms,Population,AveOccup,Latitude,Longitude,MedHouseVal\n"
COLUMNS = "data.tables.blocks.columns"
HASHING = "      ids: {_target_: treadle.features.categories.Hashing, num_buckets: 256}"
SCALING = "      scale: {_target_: treadle.features.transforms.Standardize}"
WEATHER_NOW = """\
      now:
        table: weather
        by: {origin: origin}
        columns: {now_temp: temp}
      destination:
"""
KNOWN = "dest_lat, dest_lon, plane_year, plane_maker, plane_model, plane_seats, plane_engine]"

AUTO = """\
defaults:
  - /model@candidates.linear.model: linear
  - /model@candidates.mlp.model: mlp
  - _self_
budget: 5m
rounds: 10
candidates:
  linear: {cost: {step: 0.0, row: 1.0e-9, input: 0.0}}
  mlp: {model: {width: 64}, cost: {step: 0.0, row: 1.0e-6, input: 0.0}, min_rows: 500}
"""


ONCE = """\
class Once:
    OBJECTIVES = ("default",)

    def __init__(self, *, num_numeric, cardinalities, num_outputs): ...
"""


BLENDED = [f"~model.members.{name}" for name in ("linear", "lightgbm", "mlp", "tabm")]


def auto(old, new):
    """A rule in place of a model, with a mistake in its file."""
    return case("model=auto", files=[("conf/model/auto.yaml", AUTO.replace(old, new))])


def scikit_learn(model):
    """A model of the user's own file that is an estimator of scikit-learn."""
    return case("model=mine", files=[("conf/model/mine.yaml", f"_target_: sklearn.{model}")])


def case(*overrides, edits=(), files=()):
    """Overrides; edits (file of conf/, old, new); files (path, text) that are written."""
    return overrides, edits, files


def blocks(*overrides, text=f"{BLOCKS}1,1,1,1,1,1,33,-120,1\n"):
    """The experiment california on a table in text."""
    return case("experiment=california", "data.tables.blocks.path=blocks.csv", *overrides, files=[("blocks.csv", text)])


CASES = {
    # keys
    "key-misspelt": case("schedule.max_epoch=3"),
    "key-of-a-section-misspelt": case("schedul.max_epochs=3"),
    "key-new-by-plus": case("+schedule.epochs=3"),
    "key-new-by-plus-plus": case("++trainer.thread=3"),
    "key-unknown-in-a-file": case(edits=[("schedule/base", "batch_size: 1024", "batch_sise: 1024")]),
    "key-unknown-at-the-top": case("+shedule.batch_size=3"),
    "key-unknown-in-a-table": case(edits=[(FLIGHTS, "seats: {dtype: int,", "seats: {dtype: int, nulable: true,")]),
    "key-removed": case("~schedule.monitor"),
    "key-required-in-a-file": case(edits=[("evaluation/default", "metric: auroc\n", "")]),
    "key-twice-in-yaml": case(edits=[("trainer/cpu", "devices: 1\n", "devices: 1\ndevices: 2\n")]),
    "key-twice-deep-in-yaml": case(edits=[("schedule/base", "  patience: 3", "  patience: 4\n  patience: 3")]),
    "key-of-hydras-own": case("+model._convert_=all"),
    "key-that-yaml-reads-as-a-truth-value": case(
        edits=[(FLIGHTS, "        by: {dest: faa}", "        on: {dest: faa}")]
    ),
    "key-of-another-tool": case(
        "lr=1", "+epochs=3", "trainer.max_epochs=3", "++batch_size=4", "tags=[a]", "target=[b]"
    ),
    "key-of-another-tool-in-a-file": case(edits=[("trainer/cpu", "devices: 1\n", "devices: 1\nmax_epochs: 3\n")]),
    "key-that-hydra-would-read": case("hydra.run.dir=elsewhere", "hydra/launcher=joblib", "+hydra.nonsense=1"),
    "key-that-hydra-would-read-in-a-file": case(
        edits=[("config", "name: ???", "hydra: {run: {dir: elsewhere}}\nname: ???")]
    ),
    "key-of-another-tool-by-plus-plus": case("++trainer.gpus=2", "++schedule.bs=3"),
    "key-of-a-sweep-elsewhere": case("schedule.patience=2"),
    "key-inside-an-unknown-section": case("+schedule.nope.x=1", "++data.columns.zzz=1"),
    "key-of-the-root-that-yaml-reads-as-a-truth-value": case(edits=[("config", "name: ???", "on: 3\nname: ???")]),
    "override-that-is-empty": case(""),
    # values that may be of more than one type
    "union-range": case("sweep.workers=0", "sweep.seeds=0"),
    "union-type": case("sweep.workers=x", "sweep.seeds=x"),
    "union-inside": case("sweep.seeds=[-1]"),
    # groups
    "group-option": case("model=tabn"),
    "group-option-of-an-experiment": case("experiment=flight"),
    "group-option-in-a-defaults-list": case(edits=[("config", "- model: tabm_wide", "- model: tabm_wid")]),
    "group-option-in-an-experiment": case(
        "experiment=adult", edits=[("experiment/adult", "override /model: tabm_wide", "override /model: tabm_wid")]
    ),
    "group-that-does-not-exist": case(edits=[("config", "- model: tabm_wide", "- modle: tabm_wide")]),
    "group-twice-by-override": case("model=mlp", "model=linear"),
    "group-twice-in-a-defaults-list": case(
        edits=[("config", "  - model: tabm_wide\n", "  - model: tabm_wide\n  - model: mlp\n")]
    ),
    "group-sibling-that-does-not-exist": case(
        "schedule=cosine", edits=[("schedule/cosine", "[base, _self_]", "[bas, _self_]")]
    ),
    "group-misspelt": case("expriment=flights"),
    "group-misspelt-for-a-member": case("model=ensemble", "modle@model.member=mlp"),
    "group-option-added": case("+model=mlp"),
    "group-option-that-includes-itself": case("loss=own", files=[("conf/loss/own.yaml", "defaults: [own]\n")]),
    "group-as-a-key": case("models=mlp"),
    # a rule in place of a model
    "auto-budget": case("model=auto", "model.budget=5min"),
    "auto-key-unknown": case("model=auto", "model.budgets=5m"),
    "auto-key-of-a-network": case("model=auto", "+model.width=64"),
    "auto-value-of-a-network": case("model=auto", "model.width=64"),
    "auto-key-unknown-in-a-candidate": auto("min_rows", "minrows"),
    "auto-option": auto("model: linear", "model: liner"),
    "auto-option-that-is-a-rule": case("model=auto", "model@model.candidates.mlp.model=auto"),
    "auto-value-unknown": auto("width", "widht"),
    "auto-value-range": auto("64", "0"),
    "auto-without-a-cost": auto("  linear: {cost: {step: 0.0, row: 1.0e-9, input: 0.0}}\n", ""),
    "auto-without-data": case("model=auto", "data.tables.flights.path=data/absent.parquet"),
    # a blend
    "blend-of-nothing": case("model=blend", *BLENDED),
    "blend-argument-of-a-member": case("model=blend", "model.members.mlp.model.widht=3"),
    "blend-loss-of-a-member": case("model=blend", "+loss@model.members.mlp.loss=huber"),
    "blend-name-of-a-member": case("model=blend", "+model@model.members.a+b.model=mlp"),
    "blend-in-two-processes": case("model=blend", "trainer=ddp"),
    "auto-record": case("+model_choice.rows=3"),
    # YAML and overrides
    "yaml-syntax": case(edits=[("tracker/offline", "tags: []", "tags: [a\nb: c")]),
    "yaml-tab": case(edits=[("trainer/cpu", "devices: 1", "\tdevices: 1")]),
    "yaml-python-tag": case(edits=[("tracker/offline", "tags: []", "tags: !!python/object/apply:os.getcwd []")]),
    "yaml-no-mapping": case("model=mlp", files=[("conf/model/mlp.yaml", "- a\n- b\n")]),
    "yaml-two-files-at-once": case(
        edits=[
            ("tracker/offline", "tags: []", "tags: [a\nb: c"),
            ("trainer/cpu", "devices: 1\n", "devices: 1\ndevices: 2\n"),
        ]
    ),
    "yaml-defaults-no-list": case(
        "schedule=sgd", edits=[("schedule/sgd", "defaults: [base, _self_]", "defaults: base")]
    ),
    "override-without-equals": case("schedule max_epochs"),
    "override-of-several-runs": case("model=mlp,linear"),
    "override-broken": case("tracker.tags=[a"),
    # missing values, interpolations
    "missing-value": case(edits=[("schedule/base", "monitor: loss", "monitor: ???")]),
    "interpolation-unknown": case(edits=[("trainer/cpu", "threads: 1", "threads: ${trainer.device}")]),
    "interpolation-of-itself": case(edits=[("tracker/offline", "project: treadle", "project: ${tracker.project}")]),
    "interpolation-in-a-circle": case(
        edits=[
            ("trainer/cpu", "threads: 1", "threads: ${trainer.devices}"),
            ("trainer/cpu", "devices: 1", "devices: ${trainer.threads}"),
        ]
    ),
    "interpolation-resolver": case(edits=[("tracker/offline", "project: treadle", "project: ${nope:1}")]),
    "interpolation-of-a-type": case(edits=[("trainer/cpu", "threads: 1", "threads: ${name}")]),
    # types and ranges
    "type-int": case("schedule.batch_size=many"),
    "type-int-of-a-float": case("seed=1.5"),
    "type-int-of-a-truth-value": case("trainer.threads=true"),
    "type-list": case("tracker.tags=a"),
    "type-section": case("schedule=null"),
    "type-text": case("tracker.project=3"),
    "type-name": case("name='my run/1'"),
    "range-at-least": case("schedule.batch_size=0"),
    "range-between": case("evaluation.threshold=2"),
    "range-share": case("experiment=california", "data.split.valid=1.5"),
    "choice": case("tracker.mode=offlin"),
    "choice-of-marks": case("+data.tables.planes.columns.seats.thousands=x"),
    "choice-of-an-encoding": case("+data.tables.planes.encoding=utf8"),
    "choice-of-a-separator": case("+data.tables.planes.separator='||'"),
    "choice-of-a-split": case("data.split.by=tyme"),
    "choice-of-class-weights": case("loss.class_weights=balancd"),
    "loss-of-another-task": case("experiment=california", "loss=focal"),
    "loss-of-levels-without-the-median": case(
        "experiment=california", "loss=quantiles", "loss.function.levels=[0.1, 0.9]"
    ),
    "loss-of-levels-that-do-not-rise": case(
        "experiment=california", "loss=quantiles", "loss.function.levels=[0.9, 0.5, 0.1]"
    ),
    "loss-of-an-estimator-without-levels": case(
        "experiment=california",
        "loss=quantiles",
        "model=mine",
        files=[("conf/model/mine.yaml", "_target_: sklearn.ensemble.HistGradientBoostingRegressor")],
    ),
    "exposure-of-a-regression": case(
        "experiment=california",
        edits=[
            (
                "features/california",
                "{_target_: treadle.features.transforms.PiecewiseLinear, num_bins: 48}",
                "{_target_: treadle.features.exposure.Exposure}",
            )
        ],
    ),
    "exposure-under-mixup": case(
        "experiment=rides",
        "augmentation=mixup",
        edits=[
            (
                "features/rides",
                "{_target_: treadle.features.transforms.Cyclic, period: 366}",
                "{_target_: treadle.features.exposure.Exposure}",
            )
        ],
    ),
    "loss-with-weights-of-classes-in-a-regression": case("experiment=california", "loss.class_weights=balanced"),
    "loss-with-a-class-that-does-not-exist": case("loss.class_weights={positiv: 3.0}"),
    "loss-with-a-weight-of-nothing": case("loss.class_weights={positive: 0.0}"),
    "sampling-balanced-in-a-regression": case("experiment=california", "schedule.sampling=balanced"),
    "trees-with-what-is-for-networks": case(
        "model=lightgbm",
        "loss=focal",
        "augmentation=mixup",
        "schedule.sampling=balanced",
        "trainer.devices=2",
        "+callbacks.x={_target_: pytorch_lightning.callbacks.Timer}",
    ),
    "estimator-of-ones-own-that-is-trained-once": case(
        "model=once",
        "schedule.refit=all",
        "targets=[once., treadle., torch.optim.]",
        files=[("once.py", ONCE), ("conf/model/once.yaml", "_target_: once.Once\n")],
    ),
    "trees-with-rows-on-disk": case("model=lightgbm", "schedule.shuffle_buffer=1000"),
    "trees-with-a-direction-of-no-number": case("model=lightgbm", "model.monotone={distanze: 1, carrier: 1}"),
    "trees-with-a-direction-that-is-none": case("model=lightgbm", "model.monotone={distance: 2}"),
    "trees-with-a-direction-under-a-loss-that-keeps-none": case(
        "experiment=california", "model=lightgbm", "loss=quantile", "model.monotone={MedInc: 1}"
    ),
    "estimator-of-scikit-learn-for-another-task": scikit_learn("ensemble.RandomForestRegressor\nn_estimators: 10\n"),
    "estimator-of-scikit-learn-told-twice": scikit_learn(
        "ensemble.RandomForestClassifier\nrandom_state: 1\nn_estimator: 3\n"
    ),
    "estimator-of-scikit-learn-that-nothing-verifies": scikit_learn("svm.SVC\n"),
    "estimator-of-scikit-learn-with-a-direction-of-no-number": scikit_learn(
        "ensemble.HistGradientBoostingClassifier\nmonotonic_cst: {distanze: 1}\n"
    ),
    "features-for-trees-with-a-network": case(
        edits=[
            (
                "features/flights",
                "      cycle: {_target_: treadle.features.transforms.Cyclic, period: 7}",
                "      raw: {_target_: treadle.features.raw.Raw}",
            )
        ]
    ),
    "sampling-balanced-of-labels-by-rules": case("experiment=adult_rules", "schedule.sampling=balanced"),
    "teacher-of-labels-by-rules": case("experiment=adult_rules", "loss=distill", "loss.teacher=runs/adult-0a1b2c3d"),
    "sampling-balanced-twice-over": case("schedule.sampling=balanced", "loss.class_weights=balanced"),
    "sampling-balanced-of-a-stream": case("schedule.sampling=balanced", "schedule.shuffle_buffer=100000"),
    "choice-of-a-sampling": case("schedule.sampling=balance"),
    "augmentation-of-nothing": case("augmentation=mixup", "augmentation.alpha=0"),
    "augmentation-unknown": case("augmentation=mix"),
    "duration": case("data.split.gap=1day"),
    "moment": case("data.split.test_from='2013-13-01'"),
    # targets
    "target-not-allowed": case("model._target_=os.system"),
    "target-class": case("model._target_=treadle.models.mlp.Mpl"),
    "target-module": case("model._target_=treadle.models.mpl.Mlp"),
    "target-package": case(
        "model._target_=acme.nets.Net", edits=[("config", "- torch.optim.", "- acme.\n  - torch.optim.")]
    ),
    "target-no-text": case("model._target_=3"),
    "target-absent": case("~schedule.optimizer._target_"),
    "target-not-python": case(
        "model={_target_: mine.net.Net}",
        edits=[("config", "- torch.optim.", "- mine.\n  - torch.optim.")],
        files=[("mine/__init__.py", ""), ("mine/net.py", "class Net(:\n")],
    ),
    "member-option": case("model=ensemble", "model@model.member=resnt"),
    "member-twice-by-override": case("model=ensemble", "model@model.member=mlp", "model@model.member=resnet"),
    "member-no-target": case("model=ensemble", "model.member=3"),
    "member-class": case("model=ensemble", "model.member._target_=treadle.models.mlp.Mpl"),
    "member-argument-unknown": case("model=ensemble", "+model.member.widht=3"),
    "member-argument-needed": case("model=ensemble", "~model.member.width"),
    "member-argument-given-by-treadle": case("model=ensemble", "+model.member.num_outputs=3"),
    "member-argument-range": case("model=ensemble", "model@model.member=resnet", "model.member.dropout=1"),
    "argument-unknown": case("model=mlp", "+model.widht=3"),
    "argument-needed": case("model=mlp", "~model.width"),
    "argument-given-by-treadle": case("+model.num_outputs=3"),
    "argument-type": case("model=mlp", "model.width=wide"),
    "argument-type-truth-value": case("schedule.optimizer.fused=1"),
    "argument-type-tuple": case("+schedule.optimizer.betas=[0.9]"),
    "argument-type-list-for-a-number": case("model=mlp", "model.width=[1,2]"),
    "argument-type-target-for-a-number": case("model=mlp", "model.width={_target_: treadle.models.linear.Linear}"),
    "argument-choice": case("model.arch_type=tabmm"),
    "argument-range": case("model.dropout=1"),
    "argument-range-of-torch": case("schedule.optimizer.lr=-0.1"),
    "argument-range-of-a-transform": case(
        "experiment=california", edits=[("features/california", "num_bins: 48", "num_bins: 0")]
    ),
    "argument-of-torch": case("+schedule.optimizer.learning_rate=1"),
    "argument-partial": case("+schedule.optimizer._partial_=maybe"),
    "arguments-given-together": case("model.numeric_embedding=periodic"),
    "argument-that-no-one-reads": case("model.num_frequencies=16"),
    # names that refer to names
    "metric-to-monitor": case("schedule.monitor=auc"),
    "metric-of-another-task": case("evaluation.metric=rmse"),
    "intervals-of-a-column": case("experiment=california", "evaluation.intervals.blocks=HouseAges"),
    "slices-of-a-column": case("experiment=california", "evaluation.slices.columns=[HouseAge,MedIncs]"),
    "reference-of-a-column": case("experiment=california", "evaluation.reference.ignore=[MedIncs]"),
    "slices-of-a-derived-column": case(
        "experiment=california", "+evaluation.derive.is_old='HouseAges > 40'", "evaluation.slices.columns=[is_odd]"
    ),
    "intervals-without-time": case("experiment=california", "evaluation.intervals.blocks=week"),
    "baseline": case("evaluation.baselines=[prior,lightgbm]"),
    "table-of-the-examples": case("data.examples.table=flight"),
    "table-of-a-join": case(edits=[(FLIGHTS, "table: planes", "table: plans")]),
    "table-of-the-past": case(edits=[(FLIGHTS, "      table: weather", "      table: wether")]),
    "column-known": case(edits=[(FLIGHTS, "known: [month, ", "known: [mnth, ")]),
    "column-known-twice": case(edits=[(FLIGHTS, "known: [month, ", "known: [month, month, ")]),
    "column-of-a-key": case(edits=[(FLIGHTS, "key: [origin, time_hour]", "key: [origin, time]")]),
    "column-of-a-join-here": case(edits=[(FLIGHTS, "by: {dest: faa}", "by: {destination: faa}")]),
    "column-of-a-join-there": case(edits=[(FLIGHTS, "by: {dest: faa}", "by: {dest: fa}")]),
    "column-of-a-join-type": case(edits=[(FLIGHTS, "by: {dest: faa}", "by: {hour: faa}")]),
    "column-of-a-block": case(edits=[("features/flights", "[carrier, origin, dest,", "[carrier, orign, dest,")]),
    "column-of-a-block-twice": case(edits=[("features/flights", "[carrier, origin,", "[carrier, carrier, origin,")]),
    "column-of-a-split": case("experiment=adult", "data.split.column=split"),
    "column-made-twice": case(edits=[("features/flights", "  route: ", "  hour: ")]),
    # the split
    "split-dates-out-of-order": case("data.split.valid_from='2014-01-01'"),
    "split-leaves-nothing-to-train-on": case("experiment=california", "data.split.valid=0.6", "data.split.test=0.5"),
    "split-fold-that-does-not-exist": case(
        "experiment=california",
        "data.split.fold=5",
        edits=[
            ("data/california", "by: random", "by: kfold\n  folds: 5\n  fold: 0"),
            ("data/california", "  valid: 0.16", ""),
        ],
    ),
    "split-folds-of-another-kind": case("experiment=california", "data.split.fold=0"),
    "split-valid-twice": case("experiment=adult", "+data.split.valid=[train]"),
    "split-by-time-without-a-moment": case(
        "experiment=california",
        edits=[
            (
                "data/california",
                "  by: random\n  valid: 0.16\n  test: 0.20\n  seed: 0",
                "  by: time\n  valid_from: '2013-01-01'\n  test_from: '2014-01-01'\n  gap: 1d",
            )
        ],
    ),
    "past-without-a-moment": case("data.examples.predict_at=null"),
    "past-of-a-table-that-is-never-known": case("data.tables.weather.known_at=null"),
    # the files
    "file-absent": case("data.tables.flights.path=data/flights/fligths.parquet"),
    "file-far-away": case("data.tables.flights.path=ftp://bucket/flights.parquet"),
    "file-that-is-a-folder": case("data.tables.flights.path=data", "data.tables.planes.path=''"),
    "file-lacks-a-column": case(edits=[(FLIGHTS, "      distance: {", "      distanze: {")]),
    "file-holds-another-type": case(
        "experiment=california",
        edits=[("data/california", "HouseAge: {dtype: float, min: 0, max: 100}", "HouseAge: {dtype: date}")],
    ),
    "file-csv-holds-an-epoch": case(
        "experiment=california",
        "data.tables.blocks.path=blocks.csv",
        edits=[("data/california", "HouseAge: {dtype: float, min: 0, max: 100}", "HouseAge: {dtype: datetime}")],
        files=[("blocks.csv", f"{BLOCKS}1,1577836800000,1,1,1,1,33,-120,1\n")],
    ),
    "file-csv-holds-a-power": case(  # a digit to Python, and no number
        "experiment=california",
        "data.tables.blocks.path=blocks.csv",
        edits=[("data/california", "HouseAge: {dtype: float, min: 0, max: 100}", "HouseAge: {dtype: datetime}")],
        files=[("blocks.csv", f"{BLOCKS}1,²,1,1,1,1,33,-120,1\n")],
    ),
    "file-csv-lacks-a-column": case(
        "experiment=california",
        "data.tables.blocks.path=blocks.csv",
        files=[("blocks.csv", f"{BLOCKS.replace('Longitude,', '')}1,1,1,1,1,1,33,1\n")],
    ),
    "file-csv-holds-another-type": case(
        "experiment=california",
        "data.tables.blocks.path=blocks.csv",
        files=[("blocks.csv", f"{BLOCKS}1,1,1,1,1,1,33,-120,1\n1,old,1,1,1,1,33,-120,1\n")],
    ),
    "file-is-no-parquet": case(
        "experiment=california",
        "data.tables.blocks.path=blocks.parquet",
        files=[("blocks.parquet", "no parquet at all")],
    ),
    "file-csv-lacks-a-source": blocks(f"+{COLUMNS}.MedInc.source=Income"),
    "file-csv-of-another-separator": blocks("+data.tables.blocks.separator=';'"),
    "file-csv-has-a-ragged-row": blocks(text=f"{BLOCKS}1,1,1,1,1,1,33,-120,1\n1,1,1,1,1,1,33,-120,1,9\n"),
    "file-csv-leaves-a-quote-open": blocks(text=f'{BLOCKS}1,1,1,1,1,1,33,-120,1\n1,"1,1,1,1,1,33,-120,1\n'),
    "file-csv-holds-a-decimal-comma": blocks(text=f'{BLOCKS}"1,5",1,1,1,1,1,33,-120,1\n'),
    "file-csv-is-in-another-encoding": blocks("+data.tables.blocks.encoding=utf-16"),
    "file-is-no-table": blocks("data.tables.blocks.path=conf/config.yaml"),
    "encoding-of-parquet": case("+data.tables.flights.encoding=latin-1"),
    "separator-of-parquet": case("+data.tables.flights.separator=';'"),
    "marks-of-a-text": case(
        "+data.tables.flights.columns.carrier.thousands=.", r"+data.tables.flights.columns.dest.decimal=\,"
    ),
    "marks-that-are-one": blocks(f"+{COLUMNS}.MedInc.thousands=."),
    "format-of-a-number": blocks(f"+{COLUMNS}.MedInc.format='%d/%m/%Y'"),
    "format-without-a-day": case("+data.tables.flights.columns.time_hour.format='%H:%M'"),
    "marks-of-an-amount": case(
        "+data.tables.flights.columns.carrier.prefix=[$]",
        "+data.tables.flights.columns.distance.epoch=s",
        "+data.tables.flights.columns.dest.spellings=[JFK,jfk]",
    ),
    "suffix-of-digits": case("+data.tables.flights.columns.month.suffix=['5']"),
    "format-and-epoch": case(
        "+data.tables.flights.columns.time_hour.epoch=s", "+data.tables.flights.columns.time_hour.format='%d/%m/%Y'"
    ),
    "column-of-a-reserved-name": case(
        edits=[(FLIGHTS, "      distance: {", "      label: {dtype: int}\n      __x: {dtype: int}\n      distance: {")]
    ),
    "column-of-a-source-that-is-a-column": case("+data.tables.flights.columns.month.source=day"),
    # what a contract asks, against the column's type
    "contract-bound-of-another-type": blocks(f"{COLUMNS}.MedInc.max='20'", f"+{COLUMNS}.HouseAge.allowed=['1']"),
    "contract-bound-of-a-text": case(
        "experiment=adult", "+data.tables.people.columns.gender.max=1", "+data.tables.people.columns.gender.min='0'"
    ),
    "contract-bound-of-a-moment": case(
        edits=[(FLIGHTS, "time_hour: {dtype: datetime", "time_hour: {min: 2013, max: soon, dtype: datetime")]
    ),
    "contract-allowed-texts-that-yaml-reads-as-numbers": case(
        "experiment=diamonds", edits=[("data/diamonds", "[J, I, H, G, F, E, D]", "[010, no, 12:30]")]
    ),
    "contract-allowed-nothing": blocks(f"+{COLUMNS}.HouseAge.allowed=[]"),
    "contract-age-of-a-number": blocks(f"+{COLUMNS}.HouseAge.max_age=1d"),
    "contract-against-itself": blocks(f"{COLUMNS}.MedInc.max=-1", f"+{COLUMNS}.HouseAge.allowed=[1, 200]"),
    "contract-key-twice": case(edits=[(FLIGHTS, "key: [origin, time_hour]", "key: [origin, time_hour, origin]")]),
    "split-value-that-is-not-allowed": case("experiment=adult", "data.split.test=[tets]"),
    "split-value-of-another-type": case(
        "experiment=adult", "data.split.column=age", "data.split.test=['39']", "data.split.train=[young]"
    ),
    # what a library would refuse
    "name-too-long": case(f"name={'a' * 101}"),
    "name-of-a-block": case(
        "experiment=california",
        edits=[("features/california", "  numbers:", "  num.bers:")],
    ),
    "name-that-is-reserved": case(edits=[("features/flights", "  route: ", "  label: ")]),
    "seed-below-zero": case("seed=-1"),
    "seed-too-large": case("experiment=california", "data.split.seed=20240101123456"),
    "number-without-end": case("schedule.batch_size=10000000000000000000000", "schedule.optimizer.weight_decay=inf"),
    "duration-without-end": case("data.split.gap=99999999999d"),
    "tag-of-nothing": case("tracker.tags=['']"),
    # expressions
    "sql-syntax": case(edits=[("features/flights", "hour * 60 + minute", "hour * 60 + ")]),
    "sql-parenthesis": case(edits=[("features/flights", "2013 - plane_year", "(2013 - plane_year")]),
    "sql-quote": case(edits=[("features/flights", "origin || '-' || dest", "origin || '- || dest")]),
    "sql-second-statement": case("++features.derive.x='hour; drop table'"),
    "sql-column": case(edits=[("features/flights", "2013 - plane_year", "2013 - plane_yaer")]),
    "sql-function": case(edits=[("features/flights", "COS(wind_dir", "COSINE(wind_dir")]),
    "sql-types": case(edits=[("features/flights", "2013 - plane_year", "2013 - carrier")]),
    "sql-type-of-a-function": case(
        edits=[("features/flights", "COS(wind_dir * 0.017453292519943295)", "COS(carrier)")]
    ),
    "sql-aggregate": case(edits=[("features/flights", "2013 - plane_year", "AVG(plane_year)")]),
    "sql-window": case(
        edits=[("features/flights", "2013 - plane_year", "SUM(plane_year) OVER (PARTITION BY carrier)")]
    ),
    "sql-random": case(edits=[("features/flights", "2013 - plane_year", "RANDOM()")]),
    "sql-clock": case(edits=[("features/flights", "2013 - plane_year", "EXTRACT(YEAR FROM NOW()) - plane_year")]),
    "sql-query": case(edits=[("features/flights", "2013 - plane_year", "(SELECT 1)")]),
    "sql-two-words": case(edits=[("features/flights", "2013 - plane_year", "plane_year old")]),
    "sql-too-many-terms": case(edits=[("features/flights", "2013 - plane_year", " + ".join(["plane_year"] * 200))]),
    "sql-too-long": case(edits=[("features/flights", "2013 - plane_year", "2013 - plane_year" + " " * 20_000 + "- 1")]),
    "sql-that-pads-by-a-column": case(
        edits=[("features/flights", "2013 - plane_year", "LENGTH(LPAD(carrier, plane_year))")]
    ),
    "sql-that-makes-long-texts": case(
        edits=[("features/flights", "2013 - plane_year", "LENGTH(REPLACE(carrier, 'A', RPAD(carrier, 100000)))")]
    ),
    "sql-of-the-label": case("data.examples.label='arr_delay >'"),
    "sql-of-an-exclusion": case("data.examples.exclude.cancelled=dep_time"),
    "sql-of-a-moment": case("data.examples.predict_at=carrier"),
    "sql-of-a-history": case("data.examples.history.origin_3h.columns.origin_delay='MEDIAN(arr_delay)'"),
    "sql-of-a-history-of-texts": case("data.examples.history.origin_3h.columns.origin_delay='AVG(carrier)'"),
    "sql-inside-a-history": case("data.examples.history.origin_3h.columns.origin_delay='AVG(arr_dely)'"),
    "sql-of-a-table": case(edits=[(FLIGHTS, "elapsed: MOD(arr_minute", "elapsed: MOD(arr_mimute")]),
    "sql-over-lines": case(
        edits=[("features/flights", "plane_age: 2013 - plane_year", "plane_age: |\n    2013\n    - plane_yaer")]
    ),
    # leakage
    "key-renamed-by-plus-plus": case("++data.tables.flights.columns.arr_delay.late=true"),
    "key-renamed-that-is-removed": case("~data.tables.flights.columns.arr_delay.late"),
    "key-renamed": case(
        edits=[(FLIGHTS, "dep_time: {dtype: int, known_after_prediction: true", "dep_time: {dtype: int, late: true")]
    ),
    "key-renamed-in-an-override": case("+data.tables.flights.columns.hour.late=true"),
    "leak-of-a-late-column": case(
        edits=[
            (FLIGHTS, KNOWN, f"{KNOWN[:-1]}, dep_delay]"),
            ("features/flights", "[distance, ", "[distance, dep_delay, "),
        ]
    ),
    "leak-through-derived-columns": case(
        edits=[
            (FLIGHTS, KNOWN, f"{KNOWN[:-1]}, elapsed]"),
            ("features/flights", "  plane_age: ", "  speed: distance / elapsed\n  plane_age: "),
            ("features/flights", "[distance, ", "[distance, speed, "),
        ]
    ),
    "leak-of-the-label": case(
        "experiment=adult",
        edits=[
            (
                "data/adult",
                "    path: data/adult/adult.parquet",
                "    derive: {rich: income = '>50K'}\n    path: data/adult/adult.parquet",
            ),
            ("data/adult", "known: [age, ", "known: [rich, age, "),
            ("features/adult", "columns: [age, ", "columns: [rich, age, "),
        ],
    ),
    # label functions
    "labels-balance-of-no-whole": case("experiment=adult_rules", "data.labels.balance.positive=0.5"),
    "labels-balance-of-another-class": case(
        "experiment=adult_rules", edits=[("data/adult_rules", "positive: 0.24", "rich: 0.24")]
    ),
    "labels-by-a-rule-of-a-text": case("experiment=adult_rules", "+data.labels.rules.wide=occupation"),
    "labels-by-a-rule-of-no-column": case("experiment=adult_rules", "+data.labels.rules.wide='hours > 40'"),
    "labels-by-a-rule-that-reads-the-label": case(
        "experiment=adult_rules", """+data.labels.rules.cheat="income = '>50K'\""""
    ),
    "labels-by-rules-in-a-regression": case(
        "experiment=california",
        "+data.labels={rows: all, model: triplets, balance: votes, rules: {old: 'HouseAge > 40'}}",
    ),
    # a sample of the training rows
    "sample-by-recency-without-a-moment": case(
        "experiment=adult", "+data.sample={by: recency, rows: 1000, half_life: 0d, seed: 0}"
    ),
    "sample-by-weight-without-one": case("+data.sample={by: weight, rows: 1000, seed: 0}"),
    "leak-of-the-moment": case(edits=[(FLIGHTS, "- INTERVAL '1 hour'", "+ dep_delay * INTERVAL '1 minute'")]),
    "leak-by-a-join-of-rows-that-come-later": case(
        edits=[
            (FLIGHTS, "      destination:\n", WEATHER_NOW),
            (FLIGHTS, KNOWN, f"{KNOWN[:-1]}, now_temp]"),
            ("features/flights", "[distance, ", "[distance, now_temp, "),
        ]
    ),
    # what must fit together
    "task-against-the-label": case(
        "experiment=california", "data.task=binary", "data.examples.label=\"Latitude || 'x'\""
    ),
    "task-against-a-truth-value": case("data.task=regression", "evaluation=regression"),
    "transform-against-a-text": case(
        "experiment=adult", edits=[("features/adult", "[age, educational-num,", "[age, workclass, educational-num,")]
    ),
    "transform-against-a-moment": case(edits=[("features/flights", "[distance, ", "[distance, scheduled_at, ")]),
    "encoder-not-first": case(edits=[("features/flights", HASHING, f"{SCALING}\n{HASHING}")]),
    "encoder-not-last": case(edits=[("features/flights", HASHING, f"{HASHING}\n{SCALING}")]),
    "weight-no-number": case("data.examples.weight=carrier"),
    "machine-without-a-gpu": case("trainer=gpu"),
    "precision-of-a-cpu": case("trainer.precision=16-mixed"),
    "devices": case("trainer.devices=0"),
    "strategy": case("trainer.strategy=dpp"),
    # params.yaml
    "selection-group": case(files=[("params.yaml", "experiment: flights\nmodle: mlp\n")]),
    "selection-option": case(files=[("params.yaml", "experiment: flights\nmodel: mpl\n")]),
    "selection-key-at-the-top": case(files=[("params.yaml", "seed: 3\n")]),
    "selection-option-that-is-a-section": case(files=[("params.yaml", "model: {a: 1}\n")]),
    "selection-value": case(files=[("params.yaml", "experiment: flights\nset: {schedule: {max_epoch: 3}}\n")]),
    # all at once
    "many-at-once": case(
        "model=tabn",
        "schedule.max_epoch=3",
        "seed=x",
        "schedule.monitor=auc",
        "evaluation.threshold=2",
        "data.split.gap=1day",
    ),
}


def break_project(project, edits, files):
    for name, old, new in edits:
        path = project / "conf" / f"{name}.yaml"
        text = path.read_text()
        assert old in text, f"{name} holds no {old!r}"
        path.write_text(text.replace(old, new, 1))
    for name, text in files:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def complain(project, overrides, edits, files):
    break_project(project, edits, files)
    selected = (
        read_selection(project / "params.yaml", root=project) if any(f == "params.yaml" for f, _ in files) else {}
    )
    resolve(overrides=[*selected, *overrides], root=project, places=selected)


@contextlib.contextmanager
def own_packages(project):
    sys.path.append(str(project))
    try:
        yield
    finally:
        sys.path.remove(str(project))


def tell(project, name):
    """What the command line prints for a case."""
    with own_packages(project), pytest.raises(TreadleError) as caught:
        complain(project, *CASES[name])
    error = caught.value
    return f"{report(error.problems, style='text', severity='error') if isinstance(error, ConfigError) else error}\n"


@pytest.mark.sampled_cases(36)
@pytest.mark.fast_cases(3)
@pytest.mark.parametrize("name", CASES)
def test_a_broken_experiment_is_reported_as_in_its_snapshot(project, name):
    assert tell(project, name) == (SNAPSHOTS / f"{name}.txt").read_text()


def test_there_are_at_least_80_and_each_has_its_snapshot():
    assert len(CASES) >= 80
    assert sorted(path.stem for path in SNAPSHOTS.glob("*.txt")) == sorted(CASES)


def test_every_message_has_a_rule_and_nearly_every_one_a_place():
    told = {path.stem: path.read_text() for path in SNAPSHOTS.glob("*.txt")}

    without_place = [name for name, text in told.items() if "override " not in text and ".yaml:" not in text]
    assert without_place == []


if __name__ == "__main__":
    for old in SNAPSHOTS.glob("*.txt"):
        old.unlink()
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(ROOT / "conf", Path(folder, "conf"))
            Path(folder, "data").symlink_to(ROOT / "data")
            os.chdir(folder)
            (SNAPSHOTS / f"{name}.txt").write_text(tell(Path(folder), name))
