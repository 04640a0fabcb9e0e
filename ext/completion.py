"""`dumpkit completion bash|zsh|fish`: a script that lets a shell complete dumpkit's words.

    eval "$(dumpkit completion bash)"           in ~/.bashrc
    dumpkit completion zsh > ~/.zfunc/_dumpkit  in a folder of fpath
    dumpkit completion fish > ~/.config/fish/completions/dumpkit.fish

The scripts hold the words that were there when they were made; they start no process while one types.
"""

from __future__ import annotations

from dumpkit.calls import CALLS, usage
from dumpkit.commands import INDEX
from dumpkit.errors import CommandError
from dumpkit.options import FIRST_WORDS, OPTIONS, CallOption
from dumpkit.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Sequence

_SHELL_NAMES = ("bash", "zsh", "fish")
#: Names of values that are paths.
_PATHS = ("SCRIPT", "FILE", "PATH", "FOLDER")


def _options() -> Dict[str, Sequence[CallOption]]:
    """First word -> the options behind it; "" for a dump."""
    return {"": OPTIONS, "help": (), **{name: call.options for name, call in CALLS.items()}}


def _flags(options: Sequence[CallOption]) -> List[str]:
    return [flag for option in options for flag in option.flags]


def _commands() -> List[str]:
    """The commands that a shell can complete: those that are words."""
    return sorted(name for name in INDEX if name.replace(".", "").isalnum())


def bash() -> str:
    """The script for bash."""
    every = [option for options in _options().values() for option in options]
    with_paths = "|".join(sorted(set(_flags([option for option in every if option.value in _PATHS]))))
    cases = "\n".join(
        f'            {name or "*"}) flags="{" ".join(_flags(options))}" ;;'
        # The case of any other word is the last.
        for name, options in sorted(_options().items(), reverse=True)
    )
    return f"""_dumpkit() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} first=${{COMP_WORDS[1]}} flags
    local IFS=$' \\t\\n'
    COMPREPLY=()
    case $before in
        -c) COMPREPLY=($(compgen -W "{" ".join(_commands())}" -- "$word")); return ;;
        {with_paths}) _dumpkit_paths "$word"; return ;;
    esac
    if [[ $first == help && $COMP_CWORD -gt 1 ]]; then
        COMPREPLY=($(compgen -W "{" ".join(_commands())}" -- "$word"))
    elif [[ $first == completion && $COMP_CWORD -gt 1 ]]; then
        COMPREPLY=($(compgen -W "{" ".join(_SHELL_NAMES)}" -- "$word"))
    elif [[ $word == -* ]]; then
        case $first in
{cases}
        esac
        COMPREPLY=($(compgen -W "$flags" -- "$word"))
    else
        _dumpkit_paths "$word"
        [[ $COMP_CWORD == 1 ]] && COMPREPLY+=($(compgen -W "{" ".join(FIRST_WORDS)}" -- "$word"))
    fi
}}
_dumpkit_paths() {{
    # One name a line: names may hold spaces.
    local IFS=$'\\n'
    COMPREPLY=($(compgen -f -- "$1"))
}}
complete -o filenames -F _dumpkit dumpkit
"""


def _zsh_quoted(text: str) -> str:
    return text.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def _zsh_words(options: Sequence[CallOption]) -> List[str]:
    """The options as `_arguments` takes them."""
    words = []
    for option in options:
        if option.value in _PATHS:
            action = f":{option.value.lower()}:_files"
        elif option.value == "COMMANDS":
            action = ":command:($commands)"
        else:
            action = f":{option.value.lower()}:" if option.value else ""
        words += [f'"{flag}[{_zsh_quoted(option.help)}]{action}"'.replace("`", "\\`") for flag in option.flags]
    return words


def zsh() -> str:
    """The script for zsh."""
    calls = " ".join(f"'{name}:{_zsh_quoted(text)}'" for name, text in FIRST_WORDS.items())
    lines = ["#compdef dumpkit", "_dumpkit() {", "    local -a calls commands", "    local state"]
    lines += [f"    calls=({calls})", f"    commands=({' '.join(_commands())})"]
    lines += ["    if (( CURRENT > 2 )); then", "        case $words[2] in"]
    lines += ["            help) compadd -a commands; return ;;"]
    lines += [f"            completion) compadd {' '.join(_SHELL_NAMES)}; return ;;"]
    for name, call in CALLS.items():
        if name != "completion":
            words = " ".join([*_zsh_words(call.options), "'*:file:_files'"])
            lines.append(f"            {name}) shift words; (( CURRENT-- )); _arguments {words}; return ;;")
    lines += ["        esac", "    fi"]
    lines.append(f"    _arguments {' '.join(_zsh_words(OPTIONS))} '1: :->first' '*:file:_files'")
    lines += ["    [[ $state == first ]] && { _describe call calls; _files }", "}"]
    # In a folder of fpath, the file is the function; behind `source`, it is not called by completion.
    lines.append('if [[ $funcstack[1] == _dumpkit ]]; then _dumpkit "$@"; else compdef _dumpkit dumpkit; fi')
    return "\n".join(lines) + "\n"


def fish() -> str:
    """The script for fish."""
    lines = []
    for name, text in FIRST_WORDS.items():
        lines.append(f"complete -c dumpkit -n __fish_use_subcommand -a {name} -d {_fish_quoted(text)}")
    for name, options in _options().items():
        condition = f"__fish_seen_subcommand_from {name}" if name else f"not {_FISH_SEEN} {' '.join(FIRST_WORDS)}"
        for option in options:
            spellings = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
            needs = " -r" if option.value else ""
            words = f"{' '.join(spellings)}{needs} -d {_fish_quoted(option.help)}"
            lines.append(f"complete -c dumpkit -n '{condition}' {words}")
    lines.append(f"complete -c dumpkit -n '{_FISH_SEEN} help' -f -a '{' '.join(_commands())}'")
    lines.append(f"complete -c dumpkit -n '{_FISH_SEEN} completion' -f -a '{' '.join(_SHELL_NAMES)}'")
    lines.append(f"complete -c dumpkit -s c -x -a '{' '.join(_commands())}'")
    return "\n".join(lines) + "\n"


_FISH_SEEN = "__fish_seen_subcommand_from"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def main(words: Sequence[str], output: Output) -> int:
    """Print a shell's script; the exit status. Raises CommandError with the usage."""
    if len(words) != 1 or words[0] not in _SHELLS:
        problem = f"{' '.join(words)} is no shell that dumpkit knows" if words else "the name of a shell is missing"
        raise CommandError(problem, usage("completion"))
    output.stream.write(_SHELLS[words[0]]())
    return 0
