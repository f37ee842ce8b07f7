"""Whatever is typed, and whatever the system refuses: one line with rule and place, and no traceback."""

import contextlib
import errno
import os
import pty
import resource
import shutil
import subprocess
import sys

import pytest

from runs import QUICK, find_run, treadle
from treadle.cli.faults import describe
from treadle.errors import TreadleError

LONG = "n" * 300
DEEP = "/".join(["d" * 200] * 30)
NO_WANDB = "tracker=disabled"
DIGITS = "9" * 5_000

# Each is refused with 1 or 2. {run}: a finished run; the files are made below.
NASTY = [
    ("check", "--selection", "folder"),
    ("check", "--selection", "binary.yaml"),
    ("check", "--selection", "latin.yaml"),
    ("check", "--selection", "missing.yaml"),
    ("check", "--selection", "digits.yaml"),
    ("check", "--selection", "deep.yaml"),
    ("prepare", "--resolved", "digits.yaml", "--folder", "out"),
    ("check", "--selection", LONG),
    ("check", "--selection", "params.yaml/x"),
    ("check", f"seed={DIGITS}"),
    ("check", f"schedule.optimizer.lr={DIGITS}"),
    ("check", f"model={LONG}"),
    ("check", "data.tables.blocks.path=folder"),
    ("check", f"data.tables.blocks.path={LONG}"),
    ("check", "data.tables.blocks.path=binary.csv"),
    ("compose", "-o", "folder"),
    ("compose", "-o", "/dev/full"),
    ("compose", "-o", LONG),
    ("compose", "-o", DEEP),
    ("compose", "-o", "missing/x.yaml"),
    ("compose", "-o", "params.yaml/x"),
    ("compose", "--selection", "binary.yaml", "-o", "out.yaml"),
    ("explain", "seed", "--selection", "latin.yaml"),
    ("explain", LONG),
    ("explain", ""),
    ("schema", "-o", "params.yaml"),
    ("schema", "-o", "params.yaml/x"),
    ("schema", "-o", "/dev/full"),
    ("schema", "-o", LONG),
    ("lineage", "-o", "folder"),
    ("lineage", "-o", "/dev/full"),
    ("lineage", "--format", "svg", "-o", LONG),
    ("lineage", "nothing_of_that_name"),
    ("diff", "binary.yaml"),
    ("diff", "latin.yaml", "seed=1"),
    ("diff", LONG),
    ("diff", "folder"),
    ("diff", "'"),
    ("compare", "params.yaml"),
    ("compare", LONG),
    ("compare", "folder"),
    ("compare", "{run}", "--html", "folder"),
    ("compare", "{run}", "--html", "/dev/full"),
    ("compare", "{run}", "--html", LONG),
    ("compare", "{run}", "--html", "params.yaml/x.html"),
    ("verify", "params.yaml"),
    ("verify", LONG),
    ("verify", "folder"),
    ("predict", "folder", "rows.csv", "-o", "out.csv"),
    ("predict", "params.yaml", "rows.csv", "-o", "out.csv"),
    ("predict", LONG, "rows.csv", "-o", "out.csv"),
    ("predict", "{run}", "folder", "-o", "out.csv"),
    ("predict", "{run}", "binary.csv", "-o", "out.csv"),
    ("predict", "{run}", "binary.parquet", "-o", "out.csv"),
    ("predict", "{run}", LONG, "-o", "out.csv"),
    ("predict", "{run}", "{run}/examples/test.parquet", "-o", "folder"),
    ("predict", "{run}", "{run}/examples/test.parquet", "-o", "folder/"),
    ("predict", "{run}", "{run}/examples/test.parquet", "-o", "/dev/full"),
    ("predict", "{run}", "{run}/examples/test.parquet", "-o", f"{LONG}.csv"),
    ("predict", "{run}", "{run}/examples/test.parquet", "-o", "params.yaml/out.csv"),
    ("predict", "{run}", "{run}/examples/test.parquet", "-o", "/proc/out.parquet"),
    ("run", f"seed={DIGITS}"),
    ("run", f"name={LONG}", NO_WANDB),
    ("run", "--why", "--cfg", "nothing"),
    ("run", "--like", "params.yaml"),
    ("run", "--like", LONG),
    ("run", "--like", "{run}", "nothing=1"),
    ("gc", "--keep", LONG),
    ("gc", "--keep", "newest:1", "--older-than", DIGITS),
    ("prepare", "--folder", "params.yaml"),
    ("prepare", "--folder", "folder"),
    ("prepare", "--folder", LONG),
    ("prepare", "--resolved", "params.yaml"),
    ("prepare", "--resolved", "binary.yaml", "--folder", "out"),
    ("prepare", "--resolved", "folder", "--folder", "out"),
    ("prepare", "--resolved", "resolved.yaml", "--folder", "params.yaml"),
    ("prepare", "--resolved", "resolved.yaml", "--folder", LONG),
    ("prepare", "--resolved", "resolved.yaml", "--folder", "/proc/out"),
    ("featurize", "--resolved", "resolved.yaml", "--folder", "empty"),
    ("train", "--resolved", "resolved.yaml"),
    ("train", "--resolved", "resolved.yaml", "--why"),
    ("train", "--resolved", "resolved.yaml", "--folder", "empty"),
    ("evaluate", "--resolved", "resolved.yaml", "--folder", "empty"),
    ("evaluate", "--folder", "{run}", "--resolved", "latin.yaml"),
    ("init", "made", "--from", "folder", "--target", "y"),
    ("init", "made", "--from", "binary.csv", "--target", "y"),
    ("init", "made", "--from", "binary.parquet", "--target", "y"),
    ("init", "made", "--from", LONG, "--target", "y"),
    ("init", LONG, "--from", "rows.csv", "--target", "y"),
    ("init", "folder", "--from", "rows.csv", "--target", "y"),
    ("init", "params.yaml/made", "--from", "rows.csv", "--target", "y"),
    ("init", "made", "--from", "sqlite:///binary.csv", "--table", "t", "--target", "y"),
    ("init", "made", "--from", "rows.csv", "--target", LONG),
    ("completion", "tcsh"),
]


@pytest.fixture(scope="session")
def resolved(tmp_path_factory, root):
    file = tmp_path_factory.mktemp("resolved") / "resolved.yaml"
    with contextlib.chdir(root):
        assert treadle("compose", *QUICK, NO_WANDB, "-o", str(file)) == 0
    return file


@pytest.fixture
def nasty(project, run_once, resolved):
    (project / "folder").mkdir()
    (project / "empty").mkdir()
    for name in ("binary.yaml", "binary.csv", "binary.parquet"):
        (project / name).write_bytes(bytes(range(256)) * 8)
    (project / "latin.yaml").write_bytes("experiment: café\n".encode("latin-1"))
    (project / "digits.yaml").write_text(f"set: {{seed: {DIGITS}}}\n")
    (project / "deep.yaml").write_text("[" * 10_000)
    (project / "rows.csv").write_text("x,y\n1,2\n")
    shutil.copyfile(resolved, "resolved.yaml")
    (project / "runs").symlink_to(run_once(NO_WANDB))
    return find_run(project)


@pytest.mark.slow
@pytest.mark.sampled_cases(12)
@pytest.mark.fast_cases(4)
@pytest.mark.parametrize("words", NASTY, ids=lambda words: " ".join(word[:20] for word in words))
def test_a_nasty_command_line_is_refused_in_words(nasty, capfd, words):
    try:
        code = treadle(*(word.replace("{run}", str(nasty)) for word in words))
    except SystemExit as error:  # argparse's way to end
        code = error.code

    said = capfd.readouterr().err
    assert code in {1, 2}
    assert said.startswith((f"treadle {words[0]}: ", "usage: treadle"))
    assert "Traceback" not in said
    assert "please report" not in said


# --- streams and bytes: a process of its own ------------------------------------------------------------


def run_alone(*words, **streams):
    command = [sys.executable, "-m", "treadle", *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    done = subprocess.run(command, check=False, timeout=60, **streams)
    return done.returncode, (done.stderr or b"").decode()


@pytest.mark.slow
@pytest.mark.parametrize("words", [["compose"], ["completion", "bash"]], ids=lambda words: words[0])
def test_a_full_output_is_reported_in_one_line(project, words):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        code, said = run_alone(*words, stdout=full)

    assert code == 1
    assert "standard output: No space left on device" in said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_a_reader_that_goes_away_is_reported_nothing(project):
    read, write = os.pipe()
    os.close(read)

    code, said = run_alone("compose", stdout=write)

    os.close(write)
    assert (code, said) == (1, "")


@pytest.mark.slow
def test_bytes_that_are_not_utf8_are_refused(project):
    code, said = run_alone("check", os.fsdecode(b"model=caf\xe9"))

    assert code == 2
    assert said == "treadle check: b'model=caf\\xe9' is not in UTF-8; give names and values in UTF-8\n"


@pytest.mark.slow
def test_a_limit_of_the_system_is_reported_with_the_file(project, capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        assert treadle("compose", "-o", "out.yaml") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert "treadle compose: out.yaml: File too large; raise the limit" in capsys.readouterr().err
    assert not [file for file in project.iterdir() if file.name.endswith((".tmp", "out.yaml"))]


def test_a_traceback_is_shown_where_it_is_asked_for(project):
    with pytest.raises(TreadleError):
        treadle("check", "modle=mlp", "--traceback")


# --- words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (TreadleError("a: must be b"), "a: must be b", 2),
        (OSError(errno.ENOSPC, "x", "out.csv"), "out.csv: No space left on device; free some space, and run", 1),
        (PermissionError(errno.EACCES, "x", "out.csv"), "out.csv: Permission denied; give yourself the permission", 1),
        (OSError(errno.EROFS, "x", "out.csv"), "out.csv: Read-only file system; name another place", 1),
        (
            Exception("parquet: No space left on device (os error 28)"),
            "parquet: No space left on device (os error 28); free some space",
            1,
        ),
        (FileNotFoundError(errno.ENOENT, "x", "no/r.yaml"), "no/r.yaml: No such file or directory; make its folder", 1),
        (MemoryError(), "out of memory", 1),
        (KeyError("x"), "KeyError: 'x'; --traceback shows where it was raised", 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_reported_with_place_rule_and_fix(error, text, code):
    fault = describe(error)

    assert fault.text.startswith(text)
    assert fault.code == code


def test_an_annotation_has_the_rule_where_a_mistake_has_no_key(capsys):
    assert treadle("check", "--format", "github", "") == 2
    assert "'' is not an override%0Awrite key=value" in "".join(capsys.readouterr())


@pytest.mark.sampled_cases(1)
@pytest.mark.slow
@pytest.mark.parametrize(("changes", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_an_error_is_red_in_a_terminal_that_shows_colours(project, changes, colored):
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", **changes}
    command = [sys.executable, "-m", "treadle", "check", "sed=1"]

    done = subprocess.run(command, stderr=slave, stdout=subprocess.DEVNULL, env=environment, check=False)
    os.close(slave)

    told = os.read(master, 4096).decode()
    os.close(master)
    assert done.returncode == 2
    assert told.startswith("\x1b[1;31mtreadle check:\x1b[0m " if colored else "treadle check: ")
