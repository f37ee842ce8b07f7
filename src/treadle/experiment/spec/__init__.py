"""Every key that a configuration may hold, with its type, range and meaning: one module per group of `conf/`.

Values are written in `conf/`; these modules only define which are valid. The docstring below a key is its meaning:
`treadle explain` prints it and the JSON Schemas hold it; a unit stands in brackets at its end. Optional structure
(joins, derived columns) defaults to empty; numbers have no default.
"""

from treadle.experiment.kinds import RAW
from treadle.experiment.spec.augmentation import NO_AUGMENTATION
from treadle.experiment.spec.base import Spec, Target, check_duration, check_moment, check_target
from treadle.experiment.spec.callbacks import Nodes, list_nodes
from treadle.experiment.spec.card import Claim, ModelCard
from treadle.experiment.spec.columns import Column, Encoding, Value
from treadle.experiment.spec.data import AsOf, Data, Examples, History, Join, OnBreach, Table
from treadle.experiment.spec.evaluation import Conformal, Evaluation, Intervals, MonitoringReference
from treadle.experiment.spec.experiment import (
    RECORDS,
    AnyExperiment,
    Experiment,
    LearnerExperiment,
    find_spec,
)
from treadle.experiment.spec.features import Block, Features
from treadle.experiment.spec.fit import Fit
from treadle.experiment.spec.forecast import Forecast, complete_examples, write_origin
from treadle.experiment.spec.labels import Labels
from treadle.experiment.spec.loss import Loss
from treadle.experiment.spec.metrics import OwnMetric
from treadle.experiment.spec.model import (
    Blend,
    Candidate,
    ChosenModel,
    Cost,
    Member,
    MemberName,
    ModelChoice,
    ModelRule,
    format_work,
    is_blend,
    is_rule,
)
from treadle.experiment.spec.replay import Never, OnAlarm, OnPerformance, OnSchedule, Policy, Replay, ReplayCost, Warm
from treadle.experiment.spec.retrain import AgeRule, AlarmRule, DataRule, PerformanceRule, Retrain, Rule
from treadle.experiment.spec.sample import RecencySample, SampleRule, UniformSample, WeightSample
from treadle.experiment.spec.schedule import EarlyStopping, Schedule
from treadle.experiment.spec.serving import Canary, Events, Serving, Shadow
from treadle.experiment.spec.split import (
    ColumnSplit,
    FoldRule,
    GroupKFold,
    GroupSplit,
    KFold,
    RandomFolds,
    RandomSplit,
    SplitRule,
    StratifiedKFold,
    StratifiedSplit,
    TimeSeriesFolds,
    TimeSplit,
    get_split_column,
)
from treadle.experiment.spec.sweep import Confirm, LocalEngine, RayEngine, SlurmEngine, Sweep
from treadle.experiment.spec.tracker import CsvTracker, MlflowTracker, TensorBoardTracker, Tracker, WandbTracker
from treadle.experiment.spec.trainer import Trainer

__all__ = [
    "NO_AUGMENTATION",
    "RAW",
    "RECORDS",
    "AgeRule",
    "AlarmRule",
    "AnyExperiment",
    "AsOf",
    "Blend",
    "Block",
    "Canary",
    "Candidate",
    "ChosenModel",
    "Claim",
    "Column",
    "ColumnSplit",
    "Confirm",
    "Conformal",
    "Cost",
    "CsvTracker",
    "Data",
    "DataRule",
    "EarlyStopping",
    "Encoding",
    "Evaluation",
    "Events",
    "Examples",
    "Experiment",
    "Features",
    "Fit",
    "FoldRule",
    "Forecast",
    "GroupKFold",
    "GroupSplit",
    "History",
    "Intervals",
    "Join",
    "KFold",
    "Labels",
    "LearnerExperiment",
    "LocalEngine",
    "Loss",
    "Member",
    "MemberName",
    "MlflowTracker",
    "ModelCard",
    "ModelChoice",
    "ModelRule",
    "MonitoringReference",
    "Never",
    "Nodes",
    "OnAlarm",
    "OnBreach",
    "OnPerformance",
    "OnSchedule",
    "OwnMetric",
    "PerformanceRule",
    "Policy",
    "RandomFolds",
    "RandomSplit",
    "RayEngine",
    "RecencySample",
    "Replay",
    "ReplayCost",
    "Retrain",
    "Rule",
    "SampleRule",
    "Schedule",
    "Serving",
    "Shadow",
    "SlurmEngine",
    "Spec",
    "SplitRule",
    "StratifiedKFold",
    "StratifiedSplit",
    "Sweep",
    "Table",
    "Target",
    "TensorBoardTracker",
    "TimeSeriesFolds",
    "TimeSplit",
    "Tracker",
    "Trainer",
    "UniformSample",
    "Value",
    "WandbTracker",
    "Warm",
    "WeightSample",
    "check_duration",
    "check_moment",
    "check_target",
    "complete_examples",
    "find_spec",
    "format_work",
    "get_split_column",
    "is_blend",
    "is_rule",
    "list_nodes",
    "write_origin",
]
