"""A project made of a table without the command line, and the contents of its files."""

import json
from datetime import datetime
from functools import cached_property

import polars as pl
import pytest
import yaml

from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.data.prepare import prepare
from treadle.errors import TreadleError
from treadle.scaffold.init import Origin, fill
from treadle.scaffold.planning.plan import Request
from treadle.schema import SPLITS

NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - tables are in UTC without a zone


class Made:
    """A filled project, and the contents of its files."""

    def __init__(self, folder, plan):
        self.folder = folder
        self.plan = plan

    def read(self, name):
        return yaml.safe_load((self.folder / "conf" / name / "shop.yaml").read_text(encoding="utf-8"))

    @property
    def columns(self):
        return self.read("data")["tables"]["shop"]["columns"]

    def plan_of(self, name):
        return next(choice.profile.column for choice in self.plan.choices if choice.profile.name == name)

    @property
    def left_out(self):
        return {choice.profile.name: choice.reason for choice in self.plan.left_out}

    @cached_property
    def splits(self):
        experiment = check(compose(overrides=[], root=self.folder))
        prepare(experiment.data, root=self.folder, folder=self.folder / "examples", now=NOW)
        return {name: pl.read_parquet(self.folder / "examples" / f"{name}.parquet") for name in SPLITS}

    @property
    def rows(self):
        return pl.concat(self.splits.values()).sort("row")

    @property
    def excluded(self):
        assert self.splits
        return json.loads((self.folder / "examples" / "summary.json").read_text())["left_out"]


@pytest.fixture
def make(tmp_path):
    def make(*files, target="answer", missing=(), **asked):
        folder = tmp_path / "shop"
        folder.mkdir()
        origin = Origin([str(file) for file in files], missing=missing)
        made = fill(folder, title="shop", package="shop", origin=origin, request=Request(target, **asked))
        return Made(folder, made.plan)

    return make


@pytest.fixture
def refuse(make):
    def refuse(*files, **asked):
        with pytest.raises(TreadleError) as caught:
            make(*files, **asked)
        return str(caught.value)

    return refuse
