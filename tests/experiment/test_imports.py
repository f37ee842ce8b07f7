"""Own code is known by its sources, wherever it lies and however it is imported."""

import sys
import zipfile

import pytest

from runs import forget_sources
from treadle.errors import TreadleError
from treadle.experiment.fingerprint import fingerprint_code, fingerprint_modules
from treadle.experiment.imports import import_graph

SOURCES = {
    "mine/__init__.py": "",
    "mine/stage.py": "from mine import model\n",
    "mine/model.py": "from .layer import width\n\n\ndef f():\n    return width\n",
    "mine/layer.py": "import json\n\nwidth = 3\n",
    "mine/other.py": "x = 1\n",
}


def write(folder, sources):
    for name, text in sources.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    forget_sources()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder on Python's path: stage imports model imports layer; other stands aside."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "src"), str(tmp_path)])
    write(tmp_path, SOURCES)
    yield tmp_path
    forget_sources()


def test_the_import_graph_follows_imports_at_any_depth(place):
    assert import_graph(["mine.stage"]) == {"mine", "mine.stage", "mine.model", "mine.layer"}


@pytest.mark.parametrize(
    ("file", "text", "counts"),
    [
        ("layer.py", "import json\n\nwidth = 4\n", True),
        ("layer.py", "import json\n\n# three is enough\nwidth = 3\n", False),
        ("layer.py", '"""Layers."""\n\nimport json\n\nwidth = 3\n', False),
        ("__init__.py", "import warnings\n", True),
        ("other.py", "x = 2\n", False),
    ],
    ids=["an edit below", "a comment", "a docstring", "the package itself", "a file that nobody imports"],
)
def test_an_edit_counts_where_it_is_imported(place, file, text, counts):
    """T15."""
    before = fingerprint_code(["mine.stage"])
    write(place, {f"mine/{file}": text})

    assert (fingerprint_code(["mine.stage"]) != before) == counts


def test_a_source_that_is_no_python_is_named_with_its_line(place):
    write(place, {"mine/layer.py": "import json\nwidth = = 3\n"})

    with pytest.raises(TreadleError, match=r"layer\.py:2: invalid syntax"):
        fingerprint_code(["mine.stage"])


# Each: the target's module, the files, and the file whose edit must count.
LAYOUTS = {
    "a package without __init__": ("plain.wide", {"plain/wide.py": "x = 1\n"}, "plain/wide.py"),
    "a package within one without __init__": (
        "plain.deep.wide",
        {"plain/deep/wide.py": "from ..base import y\n", "plain/base.py": "y = 1\n"},
        "plain/base.py",
    ),
    "a module by itself": ("wide", {"wide.py": "x = 1\n"}, "wide.py"),
    "a package in src, from one beside it": (
        "beside.wide",
        {"beside/wide.py": "from inner.base import y\n", "src/inner/base.py": "y = 1\n"},
        "src/inner/base.py",
    ),
    "a module reached from a package": (
        "beside.wide",
        {"beside/wide.py": "import base\n", "base.py": "y = 1\n"},
        "base.py",
    ),
    "a name that the package gives": (
        "given",
        {"given/__init__.py": "from .wide import Wide\n", "given/wide.py": "Wide = dict\n"},
        "given/wide.py",
    ),
    "all names that a package gives": (
        "beside.wide",
        {"beside/wide.py": "from given import *\n", "given/__init__.py": "__all__ = ['part']\n", "given/part.py": "1"},
        "given/part.py",
    ),
    "an import within a function": (
        "beside.wide",
        {"beside/wide.py": "def f():\n    from . import base\n", "beside/base.py": "y = 1\n"},
        "beside/base.py",
    ),
    "the other branch of an import for types": (
        "beside.wide",
        {
            "beside/wide.py": "import typing\nif typing.TYPE_CHECKING:\n    pass\nelse:\n    from . import base\n",
            "beside/base.py": "y = 1\n",
        },
        "beside/base.py",
    ),
    "an import by a written name": (
        "beside.wide",
        {"beside/wide.py": "import importlib\nimportlib.import_module('.base', __package__)\n", "beside/base.py": "1"},
        "beside/base.py",
    ),
    "an import by a name that is made up": (
        "beside.wide",
        {"beside/wide.py": "__import__('beside.' + 'ba' + 'se')\n", "beside/sub/base.py": "y = 1\n"},
        "beside/sub/base.py",
    ),
    "a compiled module": ("beside.fast", {"beside/fast.abi3.so": "1"}, "beside/fast.abi3.so"),
}  # fmt: skip


@pytest.mark.parametrize(("module", "sources", "edited"), LAYOUTS.values(), ids=LAYOUTS)
def test_own_code_is_found_wherever_it_lies(place, module, sources, edited):
    write(place, sources)
    before = fingerprint_code([module])
    write(place, {edited: "y = 22\n"})

    assert fingerprint_code([module]) != before


def test_types_alone_are_no_code(place):
    write(place, {"mine/stage.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mine import other\n"})

    assert import_graph(["mine.stage"]) == {"mine", "mine.stage"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys\nsys.path.append('x')\nimport elsewhere\n", r"stage\.py:3: imports 'elsewhere', which is found"),
        ("from .gone import x\n", r"stage\.py:1: imports 'mine\.gone'"),
        ("import plain.there\nimport plain.gone\n", r"stage\.py:2: imports 'plain\.gone'"),
        ("try:\n    import elsewhere\nexcept ImportError:\n    pass\n", None),
        ("def f():\n    import elsewhere\n", None),
        ("import numpy.made_up.as_it_runs\n", None),
    ],
    ids=[
        "a folder that joins the path later",
        "a module that is gone",
        "also of no __init__",
        "optional",
        "in a function",
        "a library's",
    ],
)
def test_code_that_is_found_nowhere_is_refused(place, text, told):
    write(place, {"mine/stage.py": text, "plain/there.py": ""})

    if told is None:
        fingerprint_code(["mine.stage"])
    else:
        with pytest.raises(TreadleError, match=told):
            fingerprint_code(["mine.stage"])


def test_code_in_an_archive_is_refused(place, monkeypatch):
    with zipfile.ZipFile(place / "code.zip", "w") as archive:
        archive.writestr("zipped.py", "x = 1\n")
    monkeypatch.syspath_prepend(str(place / "code.zip"))
    forget_sources()

    with pytest.raises(TreadleError, match="'zipped' cannot be part of a run's identity"):
        fingerprint_code(["zipped"])


# --- libraries -------------------------------------------------------------------------------------------


def install(folder, version, text, *, direct):
    """A package as pip leaves it: from an index, or from a folder."""
    import base64
    import hashlib

    site = folder / "site-packages"
    info = f"lib_of_mine-{version}.dist-info"
    for old in site.glob("*.dist-info/*"):
        old.unlink()
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    record = f"lib_of_mine/__init__.py,sha256={digest},{len(text)}\n{info}/RECORD,,\n"
    files = {"METADATA": f"Metadata-Version: 2.1\nName: lib-of-mine\nVersion: {version}\n", "RECORD": record}
    files |= {"direct_url.json": '{"url": "file:///x", "dir_info": {}}'} if direct else {}
    write(site, {"lib_of_mine/__init__.py": text, **{f"{info}/{name}": content for name, content in files.items()}})


@pytest.mark.slow
def test_a_library_that_is_a_target_counts_by_its_version(place, monkeypatch):
    monkeypatch.syspath_prepend(str(place / "site-packages"))
    install(place, "1.0", "x = 1\n", direct=False)
    first = fingerprint_modules(["lib_of_mine"])
    install(place, "1.1", "x = 1\n", direct=False)

    assert first == {"lib_of_mine": "lib-of-mine 1.0"}
    assert fingerprint_modules(["lib_of_mine"]) == {"lib_of_mine": "lib-of-mine 1.1"}


@pytest.mark.slow
def test_a_library_from_a_folder_counts_by_its_sources(place, monkeypatch):
    monkeypatch.syspath_prepend(str(place / "site-packages"))
    install(place, "1.0", "x = 1\n", direct=True)
    first = fingerprint_code(["lib_of_mine"])
    install(place, "1.0", "x = 2\n", direct=True)

    assert fingerprint_code(["lib_of_mine"]) != first


def test_what_treadle_requires_is_the_environment():
    assert fingerprint_modules(["torch.optim"]) == {}
