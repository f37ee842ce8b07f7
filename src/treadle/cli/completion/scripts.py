"""The scripts that a shell loads: `eval "$(treadle completion bash)"`, in fish `treadle completion fish | source`."""

from __future__ import annotations

from treadle.cli.completion.verbs import FILES

_BASH = """\
_treadle() {
  local line="${COMP_LINE:0:COMP_POINT}" words word breaks cut
  read -ra words <<< "$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  word="${words[-1]}"
  mapfile -t COMPREPLY < <("$1" completion bash --words "${words[@]:1}" 2>/dev/null)
  if [[ "${COMPREPLY[0]}" == '@FILES@' ]]; then
    COMPREPLY=()
    compopt -o default
    return
  fi
  breaks="${COMP_WORDBREAKS//[^=:@]/}"  # bash replaces only what follows its last word break
  if [[ -n "$breaks" ]]; then
    cut="${word%"${word##*["$breaks"]}"}"
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
  fi
  compopt -o nosort 2>/dev/null  # not before bash 4.4
  [[ "${COMPREPLY[0]}" == *[=.] ]] && compopt -o nospace
}
complete -F _treadle treadle
"""

_ZSH = """\
_treadle() {
  local -a found unfinished finished
  found=(${(f)"$("${(Q)words[1]}" completion zsh --words "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)"})
  if [[ "$found[1]" == '@FILES@' ]]; then
    compset -P '--*='
    _files
    return
  fi
  unfinished=(${(M)found:#*[=.]})
  finished=(${found:#*[=.]})
  compadd -V treadle -S '' -a unfinished
  compadd -V treadle -a finished
}
(( $+functions[compdef] )) || { autoload -U compinit && compinit }
compdef _treadle treadle
"""

_FISH = """\
function __treadle_complete
  set -l before (commandline -opc)
  set -l current (commandline -ct)
  set -l found ($before[1] completion fish --words $before[2..] "$current" 2>/dev/null)
  if test "$found[1]" = '@FILES@'
    set -l flag (string match -r '^--[a-z-]+=' -- "$current")
    set found (__fish_complete_path (string replace -- "$flag" '' "$current"))
    string join \\n -- "$flag"$found
  else
    string join \\n -- $found
  end
end
complete -c treadle -f -k -a '(__treadle_complete)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def make_script(shell: str) -> str:
    """The script of a shell; it asks `treadle completion SHELL --words …` at every TAB."""
    return _SCRIPTS[shell].replace("@FILES@", FILES)
