"""The group `serving` alone: a server composes it without the data, features and model of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydantic

from treadle.config.compose import compose
from treadle.config.shipped import SHIPPED_CONF
from treadle.errors import TreadleError
from treadle.experiment.spec import Serving
from treadle.problems import ConfigError
from treadle.validation import describe_first

GROUP = "serving"


def read_serving(overrides: Sequence[str], *, root: Path) -> Serving:
    """How requests are answered: the project's `conf/serving`, or what ships where it has none.

    Raises:
        ConfigError: the configuration cannot be composed.
        TreadleError: an override is none of the group, or a value is not allowed.
    """
    for override in overrides:
        if override.lstrip("+~").partition("=")[0].partition(".")[0] != GROUP:
            raise TreadleError(f"{override!r}: a server reads {GROUP}.… alone; the bundle has everything else")
    composed = compose(overrides=overrides, root=root)
    if GROUP not in composed.values:
        composed = compose(overrides=overrides, root=SHIPPED_CONF.parent)
    if composed.problems:
        raise ConfigError(composed.problems)
    try:
        return Serving.model_validate(composed.values[GROUP])
    except pydantic.ValidationError as error:
        raise TreadleError(f"{GROUP}.{describe_first(error)}") from error
