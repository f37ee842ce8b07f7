"""Folders of models that would run code of their own; no library is needed to refuse them."""

import json

import pytest

from treadle.errors import TreadleError
from treadle.features.sentences import require_no_code

OWN, OTHER = "sentence_transformers.models.Pooling", "modeling.Evil"


def write(folder, name, found):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(found if isinstance(found, str) else json.dumps(found))


def test_a_model_of_the_library_passes(tmp_path):
    write(tmp_path, "modules.json", [{"idx": 0, "path": "", "type": OWN}])
    write(tmp_path, "0_Router/router_config.json", {"types": {"query": OWN}})
    write(tmp_path, "1_Dense/config.json", {"in_features": 3})

    require_no_code(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("modules.json", [{"type": OWN}, {"type": OTHER}]),
        ("0_Router/router_config.json", {"types": {"query": OWN, "document": OTHER}}),
        ("0_Asym/config.json", {"types": {"query": OTHER}}),
    ],
)
def test_code_of_others_is_refused(tmp_path, name, found):
    write(tmp_path, name, found)

    with pytest.raises(TreadleError, match=r"'modeling\.Evil', code that is no part of sentence-transformers"):
        require_no_code(tmp_path)


def test_a_file_that_lists_no_parts_is_refused(tmp_path):
    write(tmp_path, "modules.json", "{}")

    with pytest.raises(TreadleError, match=r"modules\.json does not list the parts of a model"):
        require_no_code(tmp_path)
