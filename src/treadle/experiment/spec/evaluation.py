"""Group `evaluation`: how the model is evaluated on the test set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from treadle.experiment.spec.base import Duration, Name, Spec, Sql, Target, is_unset
from treadle.experiment.spec.behaviour import Behaviour
from treadle.experiment.spec.value import Value
from treadle.outcomes import Severity
from treadle.schema import Count

CALIBRATION_ROWS = 50  # of the valid split, from which a calibration can be fitted
CheckName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]


def is_by_threshold(value: object) -> bool:
    """Whether decisions are made by one threshold: then the key stays out of what is frozen."""
    return value == "threshold"


class Check(Spec):
    """A question to the evaluation, whose answer passes, fails, or is not applicable."""

    severity: Severity
    """What a failure means: a blocker refuses a promotion, a warning is told, a note is for the record."""
    function: Target
    """Function of what was evaluated (`evaluated`) that gives a `treadle.outcomes.Outcome`; a `_target_`."""


class Intervals(Spec):
    """Bootstrap intervals of the metrics, and of differences between the model and its baselines."""

    blocks: str
    """What is resampled: row, day, week, month (of the calendar, even if a column has that name), a column of the
    examples, or auto: the split's group, else days, else rows; of forecasts no period shorter than the horizon."""
    resamples: int = Field(ge=100, le=100_000)
    """Number of resamples."""
    coverage: float = Field(ge=0.5, lt=1)
    """How often an interval holds the true value [probability]."""


class Slices(Spec):
    """Parts of the test split in which the model is judged on its own."""

    columns: list[str]
    """Columns of the examples or of `evaluation.derive`; each value, or each fifth of the numbers, is a slice."""
    min_rows: int = Field(ge=20)
    """Smallest slice; the search wants as many in each half of the test split [rows]."""
    candidates: int = Field(ge=0, le=1000)
    """Slices of one or two conditions that half of the blocks propose and the other half confirms; 0: no search."""


class MonitoringReference(Spec):
    """What `treadle monitor` compares later rows with: counts of the training split by block of rows."""

    blocks: Literal["auto", "week", "day", "rows"]
    """Blocks whose differences are normal: week, day, rows, or auto: weeks or days where there are 16, else rows."""
    bins: int = Field(ge=2, le=1000)
    """Number of ranges into which the numbers of a column are counted."""
    top: int = Field(ge=1, le=10_000)
    """Number of texts of a column that are counted each on their own, the most frequent ones."""
    pairs: int = Field(ge=0, le=200)
    """Number of columns, the first ones, whose pairs are counted too; 0: none."""
    ignore: list[str] = []
    """Columns that are not monitored; those that follow the calendar are left out by themselves."""


class Explanation(Spec):
    """Which columns of the examples the model relies on, and how its predictions follow them."""

    predictions: int = Field(ge=500, le=100_000_000)
    """Most rows that are predicted for it: each column gets as many of the test split as that allows [rows]."""
    groups: dict[Name, list[str]]
    """Columns that are permuted together, by a name of your own."""
    max_association: float = Field(gt=0, le=1)
    """Columns, among the others, that are associated at least this strongly are permuted together; 1: each alone."""
    curves: int = Field(ge=0, le=100)
    """Most important columns whose partial dependence is drawn; 0: none."""
    points: int = Field(ge=2, le=200)
    """Values of a column at which it is computed."""
    attributions: int = Field(ge=0, le=100_000)
    """Test rows whose predictions are attributed to columns by Shapley values (extra `explain`); 0: none [rows]."""


class Fairness(Spec):
    """Groups of people between which the model is compared."""

    columns: list[str] = Field(min_length=1)
    """Protected columns of the examples or of `evaluation.derive`, features or not; each value is a group."""
    min_rows: int = Field(ge=20)
    """Smallest group that is compared [rows]."""


class Conformal(Spec):
    """Intervals of a regression, or sets of classes, that hold what comes as often as declared."""

    coverage: float = Field(ge=0.5, lt=1)
    """Share of the rows whose interval, or set, holds their label [probability]."""
    by_class: bool = False
    """Whether the coverage holds of each class on its own, so that rare classes are not left out; of a
    classification."""


class Questions(Spec):
    """Questions to the data: whether test rows look like training rows, which rows repeat, which labels are suspect."""

    rows: int = Field(ge=0, le=10_000_000)
    """Rows of the training and of the test split each, which a model is asked to tell apart; 0: not asked [rows]."""
    ignore: list[str] = []
    """Columns that it is not given; moments and what follows the calendar are left out by themselves."""
    suspects: int = Field(ge=0, le=100_000)
    """Most suspect labels of the test split that are listed; 0: not asked [rows]."""


class Naive(Spec):
    """Baselines of a series that only remember: the last known label, and the one a season before."""

    by: list[str]
    """Columns of the examples whose rows are one series each; none: all rows are one."""
    delay: Duration
    """How long after its prediction time a label is known."""
    season: Duration | None
    """After which the series is alike, such as 1d or 1w; null: no seasonal baseline."""


class Evaluation(Spec):
    """How the model is evaluated on the test set."""

    baselines: list[Literal["prior", "linear", "gradient_boosting"]]
    """Baseline models that are trained and evaluated on the same splits."""
    metric: str
    """Primary metric, which the summary shows first."""
    threshold: float = Field(gt=0, lt=1)
    """Decision threshold: a row with at least this probability is classified as positive [probability]."""
    decide_by: Literal["threshold", "f1"] = Field(default="threshold", exclude_if=is_by_threshold)
    """How a label of several is decided: by `threshold`, or each by a threshold of its own, of the highest F1 on the
    valid split, a part of the bundle."""
    calibration_bins: int = Field(ge=2, le=10_000)
    """Number of bins of the calibration curve and of the calibration error."""
    parity_rows: int = Field(ge=0)
    """Number of test rows that are predicted again one by one, to verify that serving equals evaluation [rows]."""
    calibrate: Literal["none", "temperature", "isotonic", "auto"] = "none"
    """Calibration of the probabilities, fitted on the valid split, a part of the bundle; auto: whichever lowers the log
    loss in a cross-fit by more than a standard error, or none."""
    conformal: Conformal | None = None
    """Intervals, or sets of classes, with a declared coverage, fitted on the valid split, a part of the bundle; null:
    none."""
    timed_rows: list[Count] = []
    """Numbers of rows whose prediction is timed, such as 1 and 1000; times differ from run to run [rows]."""
    champion: str | None = Field(default=None, exclude_if=is_unset)
    """Run, bundle, or champion that is evaluated on the same rows, as a baseline of that name; null: none."""
    checks: dict[CheckName, Check | None] = {}
    """What is asked of the model, by name; null: a check that is left out."""
    behaviour: dict[Name, Behaviour] = {}
    """What predictions must do when rows of the test split change, by name; the check `behaviour` reads it."""
    derive: dict[str, Sql] = {}
    """New columns for slices and groups, no features: a name, and an SQL expression over an example."""
    intervals: Intervals | None = None
    """Intervals of the metrics; null: none."""
    slices: Slices | None = None
    """Slices of the test split; null: none."""
    reference: MonitoringReference | None = None
    """What monitoring compares with; null: the model cannot be monitored."""
    naive: Naive | None = None
    """Baselines of a series, `last_value` and `seasonal`; null: none."""
    explanation: Explanation | None = None
    """What the model relies on; null: not asked."""
    fairness: Fairness | None = None
    """Groups between which the model is compared; null: none."""
    questions: Questions | None = None
    """What is asked of the data; null: nothing but what the checks ask."""
    value: Value | None = None
    """What decisions are worth; null: not asked."""
