"""Shell completion: verbs, groups, options and keys, read from names of files and from YAML alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from treadle.experiment.files import SHIPPED_CONF

VERBS = (
    "check",
    "compose",
    "run",
    "prepare",
    "featurize",
    "train",
    "evaluate",
    "compare",
    "predict",
    "completion",
)
_CONFIGURED = VERBS[:7]

_SCRIPTS = {
    "bash": """\
_treadle() {
  local line="${COMP_LINE:0:COMP_POINT}" words word cut
  read -ra words <<< "$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  word="${words[-1]}"
  mapfile -t COMPREPLY < <(treadle completion bash --words "${words[@]:1}" 2>/dev/null)
  cut="${word%"${word##*[=:]}"}"  # bash replaces only what follows its last word break
  COMPREPLY=("${COMPREPLY[@]#"$cut"}")
  [[ "${COMPREPLY[0]}" == *[=.] ]] && compopt -o nospace
}
complete -F _treadle treadle
""",
    "zsh": """\
_treadle() {
  local -a found
  found=("${(@f)$(treadle completion zsh --words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -S '' -- $found
}
compdef _treadle treadle
""",
    "fish": """\
function __treadle_complete
  set -l words (commandline -opc) (commandline -ct)
  treadle completion fish --words $words[2..] 2>/dev/null
end
complete -c treadle -f -a '(__treadle_complete)'
""",
}


def complete(words: list[str], *, root: Path) -> list[str]:
    """What may stand for the last word.

    Args:
        words: after `treadle`, the last one being typed (perhaps empty).
        root: the project.
    """
    *before, word = words or [""]
    if not before:
        return [verb for verb in VERBS if verb.startswith(word)]
    if before[0] in {"compare", "predict"}:
        return [path for path in _list_runs(root) if path.startswith(word)]
    if before[0] not in _CONFIGURED:
        return []
    folders = [folder for folder in {root / "conf", SHIPPED_CONF} if folder.is_dir()]
    return sorted({choice for choice in _list_overrides(folders, word) if choice.startswith(word)})


def _list_runs(root: Path) -> list[str]:
    return sorted(f"runs/{path.parent.name}" for path in root.glob("runs/*/stages.json"))


def _list_overrides(folders: list[Path], word: str) -> Iterator[str]:
    """`group=option`, also after a comma; `group.key=` once the group is typed, else `group.`."""
    key, equals, value = word.partition("=")
    chosen = value.rpartition(",")[0]
    for folder in folders:
        for path in folder.glob("*/*.yaml"):
            group = path.parent.name
            if equals and key == group:
                yield f"{group}={chosen},{path.stem}" if chosen else f"{group}={path.stem}"
            elif not equals:
                yield f"{group}="
                if key.startswith(f"{group}."):
                    yield from (f"{group}.{name}=" for name in _list_keys(_load(path), ""))
                else:
                    yield f"{group}."


def _load(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return None


def _list_keys(node: Any, prefix: str) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        if name in {"defaults", "_target_", "_partial_"}:
            continue
        if isinstance(value, dict) and value:
            yield from _list_keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def make_script(shell: str) -> str:
    """The script that a shell loads: `eval "$(treadle completion bash)"`."""
    return _SCRIPTS[shell]
