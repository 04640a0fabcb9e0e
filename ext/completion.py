"""`dumpkit completion bash|zsh|fish`: a script that lets a shell complete dumpkit's words.

    eval "$(dumpkit completion bash)"           in ~/.bashrc
    dumpkit completion zsh > ~/.zfunc/_dumpkit  in a folder of fpath
    dumpkit completion fish > ~/.config/fish/completions/dumpkit.fish

The scripts hold the words that were there when they were made; they start no process while one types.
"""

from __future__ import annotations

from dumpkit.commands import INDEX
from dumpkit.errors import CommandError
from dumpkit.options import FIRST_WORDS, OPTIONS
from dumpkit.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Sequence, Tuple

USAGE = "dumpkit completion bash|zsh|fish"


def _options() -> List[Tuple[str, str, str]]:
    """(flag, name of its value or "", help) of every spelling of every option."""
    return [(flag, option.value, option.help) for option in OPTIONS for flag in option.flags]


def _commands() -> List[str]:
    """The commands that a shell can complete: those that are words."""
    return sorted(name for name in INDEX if name.replace(".", "").isalnum())


def bash() -> str:
    """The script for bash."""
    flags = " ".join(flag for flag, _, _ in _options())
    with_files = "|".join(flag for flag, value, _ in _options() if value in ("SCRIPT", "FILE", "PATH"))
    return f"""_dumpkit() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} first=${{COMP_WORDS[1]}}
    COMPREPLY=()
    case $before in
        -c) COMPREPLY=($(compgen -W "{" ".join(_commands())}" -- "$word")); return ;;
        {with_files}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    if [[ $first == help && $COMP_CWORD -gt 1 ]]; then
        COMPREPLY=($(compgen -W "{" ".join(_commands())}" -- "$word"))
    elif [[ $first == completion && $COMP_CWORD -gt 1 ]]; then
        COMPREPLY=($(compgen -W "bash zsh fish" -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "{flags}" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
        [[ $COMP_CWORD == 1 ]] && COMPREPLY+=($(compgen -W "{" ".join(FIRST_WORDS)}" -- "$word"))
    fi
}}
complete -o filenames -F _dumpkit dumpkit
"""


def _zsh_quoted(text: str) -> str:
    return text.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def zsh() -> str:
    """The script for zsh."""
    lines = ["#compdef dumpkit", "_dumpkit() {", "    local -a words commands"]
    lines.append("    words=(" + " ".join(f"'{name}:{_zsh_quoted(text)}'" for name, text in FIRST_WORDS.items()) + ")")
    lines.append(f"    commands=({' '.join(_commands())})")
    lines.append("    if (( CURRENT == 3 )) && [[ $words[2] == help ]]; then compadd -a commands; return; fi")
    lines.append("    _arguments \\")
    for flag, value, text in _options():
        action = {"": "", "COMMANDS": ":command:($commands)", "SCRIPT": ":file:_files", "FILE": ":file:_files"}.get(
            value, f":{value.lower()}:_files" if value == "PATH" else f":{value.lower()}:"
        )
        lines.append(f"        '{flag}[{_zsh_quoted(text)}]{action}' \\")
    lines += ["        '1: :->first' '*:file:_files'"]
    lines += ["    [[ $state == first ]] && { _describe word words; _files }", "}", '_dumpkit "$@"']
    return "\n".join(lines) + "\n"


def fish() -> str:
    """The script for fish."""
    lines = []
    for name, text in FIRST_WORDS.items():
        lines.append(f"complete -c dumpkit -n __fish_use_subcommand -a {name} -d '{_fish_quoted(text)}'")
    for flag, value, text in _options():
        spelling = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
        needs = " -r" if value else ""
        lines.append(f"complete -c dumpkit {spelling}{needs} -d '{_fish_quoted(text)}'")
    lines.append(f"complete -c dumpkit -n '__fish_seen_subcommand_from help' -f -a '{' '.join(_commands())}'")
    lines.append("complete -c dumpkit -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'")
    return "\n".join(lines) + "\n"


def _fish_quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


_SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def main(words: Sequence[str], output: Output) -> int:
    """Print a shell's script; the exit status. Raises CommandError with the usage."""
    if len(words) != 1 or words[0] not in _SHELLS:
        problem = f"{' '.join(words)} is no shell that dumpkit knows" if words else "the name of a shell is missing"
        raise CommandError(problem, USAGE)
    output.stream.write(_SHELLS[words[0]]())
    return 0
