"""Files of a made project that follow Treadle's own."""

import pytest
import yaml

from treadle.scaffold.writing.files import render


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_composition_has_the_same_groups(root, task):
    def list_groups(text):
        return [next(iter(entry)) for entry in yaml.safe_load(text)["defaults"] if isinstance(entry, dict)]

    made = render("config.yaml", {"package": "shop", "task": task})

    assert list_groups(made) == list_groups((root / "conf/config.yaml").read_text())


def test_the_selection_has_the_same_groups(root):
    made = yaml.safe_load(render("params.yaml", {"package": "flights"}))

    assert made == yaml.safe_load((root / "params.yaml").read_text())
