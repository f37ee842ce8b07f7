"""Runs that the project refers to: experiments that were adopted from one, and champions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from treadle.disk import read_text
from treadle.experiment.run_folder import MODELS

EXPERIMENTS = "conf/experiment"  # of a project: the files of its experiments
ADOPTED = "# Adopted from {run}."  # a line of the file of an experiment that was made from a run


def find_adopted(root: Path) -> dict[str, str]:
    """The name of each run that an experiment of conf/ was adopted from, with that of the experiment."""
    found = {}
    for file in sorted((root / EXPERIMENTS).glob("*.yaml")):
        for run in re.findall(ADOPTED.format(run="(.+)"), read_text(file), flags=re.MULTILINE):
            found[Path(run).name] = file.stem
    return found


def find_champions(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Those of the runs that a file of promoted models names, with the file's name."""
    texts = {file.name: read_text(file) for file in sorted((root / MODELS).glob("*.jsonl"))}
    return {name: file for name in names for file, text in texts.items() if name in text}
