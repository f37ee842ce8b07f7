"""A new project under git and DVC."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from treadle.errors import TreadleError

# With these in the environment, as in a git hook, git looks there and not at the folder that it runs in.
_GIT_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"}
_DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
    autostage = false
    remote = store
['remote "store"']
    url = ../.dvcstore
    verify = true
"""


def put_under_versions(made: Path, *, within: Path) -> None:
    """Initialise git where there is none, and DVC with a remote in the folder; add the data to it."""
    inside = _run("git", "rev-parse", "--is-inside-work-tree", cwd=within, check=False) == 0
    if inside and _run("git", "check-ignore", "--quiet", str(made), cwd=within, check=False) == 0:
        inside = False  # a folder that git ignores gets its own repository
    if not inside:
        _run("git", "init", "--quiet", cwd=made)
    _run(sys.executable, "-m", "dvc", "init", "--quiet", *(["--subdir"] if inside else []), cwd=made)
    if inside:  # DVC has put its files into the index, under a name that they are about to lose
        _run("git", "rm", "-r", "--cached", "--force", "--quiet", "--ignore-unmatch", ".", cwd=made)
    (made / ".dvc" / "config").write_text(_DVC_CONFIG, encoding="utf-8")
    _run(sys.executable, "-m", "dvc", "add", "--quiet", "data", cwd=made)
    _run(sys.executable, "-m", "dvc", "push", "--quiet", cwd=made)


def _run(*command: str, cwd: Path, check: bool = True) -> int:
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    try:
        done = subprocess.run(  # noqa: S603 - git and dvc
            command, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError as error:
        raise TreadleError(f"`{command[0]}` is not installed, or not in PATH; a project needs it") from error
    if check and done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise TreadleError(f"`{' '.join(command)}` failed: {reason}")
    return done.returncode
