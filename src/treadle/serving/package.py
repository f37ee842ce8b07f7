"""A folder that becomes a container: a bundle, the code that serves it, and its libraries without those of training."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import treadle
from treadle.bundle import load
from treadle.champions.bundles import digest_bundle
from treadle.config.shipped import SHIPPED_CONF
from treadle.errors import TreadleError
from treadle.experiment.modules import TREADLE
from treadle.experiment.run_folder import RunFolder
from treadle.export.export import find_exports
from treadle.serving.engines import choose_engine
from treadle.serving.service import Source

BUNDLE, CODE, REQUIREMENTS, DOCKERFILE = "bundle", "code", "requirements.txt", "Dockerfile"
LATER = ("redis",)  # that a server imports for some settings alone: serving.events.store
EXPORTS = RunFolder(Path()).exports.name  # beside the bundle, as in a run's folder

# Run by itself, so that what this process has imported does not count: a bundle that is loaded has predicted a row.
_PROBE = """
import json, sys
import treadle.cli.commands.serving, treadle.config.serving, treadle.serving.server
from pathlib import Path
from treadle.bundle import load
from treadle.serving.engines import choose_engine
from treadle.serving.scorer import Scorer
import uvloop, httptools
bundle = load(sys.argv[1], targets=json.loads(sys.argv[2]), code=sys.argv[3])
engine, _ = choose_engine(bundle, wanted="auto", exports=Path(sys.argv[4]), digest=sys.argv[5])
Scorer(bundle, engine)
treadle.config.serving.read_serving([], root=Path.cwd())
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
_DOCKERFILE = """\
FROM python:{python}-slim
ENV PYTHONUNBUFFERED=1 PYTHONPATH=/app/{code} PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# A CPU needs no CUDA: PIP_EXTRA_INDEX_URL may name an index of wheels for the CPU alone.
ARG PIP_EXTRA_INDEX_URL=
COPY {requirements} .
RUN pip install --no-cache-dir -r {requirements}
COPY . .
# Compiled once: the server may not write here.
RUN python -m compileall -q {code}
RUN useradd --system --no-create-home server && mkdir -p /app/log && chown server /app/log
USER server
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD python -c \\
  "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"
# TREADLE_TOKEN is the token of each request; without one, add serving.allow_anonymous=true.
ENTRYPOINT ["python", "-m", "treadle", "serve", "{bundle}", "serving.host=0.0.0.0", "serving.name={name}"{options}]
"""


def package(source: Source, *, into: Path) -> list[str]:
    """Write the folder, with the export that the server would choose where there is one.

    Args:
        source: of the bundle.
        into: the folder, which must be absent or empty.

    Returns:
        The pinned requirements.

    Raises:
        TreadleError: the folder holds something, or the bundle cannot be loaded.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise TreadleError(f"{into} exists already; name a folder that does not, or an empty one")
    folder = source.find()
    loaded = load(folder, targets=source.targets, code=source.code)
    inside = folder / BUNDLE if (folder / BUNDLE).is_dir() else folder
    exports, digest = find_exports(folder), digest_bundle(folder)
    engine, _ = choose_engine(loaded, wanted="auto", exports=exports, digest=digest)
    requirements = _list_requirements(inside, source, exports=exports or into / EXPORTS, digest=digest)
    into.mkdir(parents=True, exist_ok=True)
    shutil.copytree(inside, into / BUNDLE, symlinks=False)
    if engine is not None and exports is not None:
        shutil.copytree(exports / engine.name, into / EXPORTS / engine.name)
    _copy_code(list(loaded.card.code), source.root, into / CODE)
    (into / REQUIREMENTS).write_text("\n".join(requirements) + "\n", encoding="utf-8")
    (into / DOCKERFILE).write_text(_write_dockerfile(source), encoding="utf-8")
    (into / ".dockerignore").write_text("**/__pycache__\nlog\n", encoding="utf-8")
    return requirements


def _list_requirements(bundle: Path, source: Source, *, exports: Path, digest: str) -> list[str]:
    """The packages that a server imports, and those that they need, in the versions that are installed."""
    command = [sys.executable, "-c", _PROBE, str(bundle), json.dumps(list(source.targets)), source.code]
    command += [str(exports), digest]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=source.root)  # noqa: S603 - our own
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]  # as a kill for memory
        raise TreadleError(f"a server cannot load {bundle}: {said[-1]}")
    imported = json.loads(done.stdout.splitlines()[-1])
    known = packages_distributions()
    names = {name for module in imported for name in known.get(module, []) if name.lower() != TREADLE}
    names.update(name for name in LATER if name in known)
    pinned = {  # without the mark of a build, such as +cpu
        each.name: each.version.partition("+")[0] for each in map(distribution, add_needed(names))
    }
    return sorted((f"{name}=={number}" for name, number in pinned.items()), key=str.lower)


def add_needed(names: Iterable[str]) -> set[str]:
    """The packages with all that they need here, which some import only when it is wanted.

    A requirement that is not installed is left out: the server has done without it here, too.
    """
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            needed = map(Requirement, distribution(name).requires or [])
        except PackageNotFoundError:
            continue
        found.add(name)
        waiting += [
            canonicalize_name(each.name)
            for each in needed
            if each.marker is None or each.marker.evaluate({"extra": ""})
        ]
    return found


def _copy_code(modules: Sequence[str], root: Path, into: Path) -> None:
    """Treadle, and the project's own packages that the bundle needs."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(Path(treadle.__file__).parent, into / TREADLE, ignore=ignore)
    if not (into / TREADLE / "conf").exists():  # of a checkout it is beside the sources
        shutil.copytree(SHIPPED_CONF, into / TREADLE / "conf")
    for name in sorted({module.partition(".")[0] for module in modules} - {TREADLE}):
        for place in (root / "src" / name, root / name):
            if place.is_dir():
                shutil.copytree(place, into / name, ignore=ignore)
                break
            if place.with_suffix(".py").is_file():
                shutil.copy(place.with_suffix(".py"), into)
                break


def _write_dockerfile(source: Source) -> str:
    own = [prefix for prefix in source.targets if not prefix.startswith(f"{TREADLE}.")]
    options = [word for prefix in own for word in ("--allow", prefix)]
    options += ["--any-code"] if source.code == "any" else []
    return _DOCKERFILE.format(
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        code=CODE,
        requirements=REQUIREMENTS,
        bundle=BUNDLE,
        name=source.name,
        options="".join(f", {json.dumps(word)}" for word in options),
    )
