"""Usage: autoencoders <command> [arguments], or python -m autoencoders <command> [arguments].

Commands:
  train       train a model, or sweep over options with -m
  apply       apply a trained run: samples, edits, restoration, evaluation, ...
  report      collect runs into one HTML or Markdown page
  dashboard   create W&B workspaces

`autoencoders <command> --help` describes a command, `autoencoders --version` prints the version, and
`eval "$(autoencoders completion bash)"` enables tab completion.
"""

from __future__ import annotations

import runpy
import sys

from autoencoders import __version__
from autoencoders.utils.console import quiet_broken_pipe

COMMANDS = ("train", "apply", "report", "dashboard")

BASH_COMPLETION = """\
_autoencoders_completion() {
    local current="${COMP_WORDS[COMP_CWORD]}" command="${COMP_WORDS[1]}"
    if (( COMP_CWORD == 1 )); then
        COMPREPLY=($(compgen -W "%(commands)s completion --help --version" -- "$current"))
        return
    fi
    case "$command" in
        %(pattern)s)
            # Hydra removes the first word of the line, so the name of the command is removed here.
            local line="${COMP_LINE#*"$command"}" choices
            line="autoencoders$line"
            choices=$(COMP_LINE="$line" COMP_POINT=${#line} '%(python)s' -m "autoencoders.$command" \\
                -sc query=bash 2>/dev/null)
            COMPREPLY=($(compgen -o default -W "$choices" -- "$current"))
            ;;
        completion) COMPREPLY=($(compgen -W "bash" -- "$current")) ;;
    esac
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _autoencoders_completion autoencoders
"""
"""Completion of the commands, and of the arguments of a command by Hydra's own completion."""


def main() -> None:
    """Run the command named by the first argument, as `python -m autoencoders.<command>` does."""
    with quiet_broken_pipe():
        _run(*(sys.argv[1:] or ["--help"]))


def _run(command: str, *arguments: str) -> None:
    if command in ("-h", "--help"):
        print((__doc__ or "").strip())
    elif command == "--version":
        print(f"autoencoders {__version__}")
    elif command == "completion":
        _print_completion(arguments)
    elif command in COMMANDS:
        sys.argv[1:] = arguments
        # As __main__, so that the processes that Lightning starts repeat this command.
        runpy.run_module(f"autoencoders.{command}", run_name="__main__", alter_sys=True)
    else:
        _exit_with_error(f"command must be one of {', '.join(COMMANDS)}, completion, got {command!r}.")


def _print_completion(shells: tuple[str, ...]) -> None:
    if shells != ("bash",):
        _exit_with_error(f"completion must be followed by bash, got {' '.join(shells)!r}.")
    names = {"commands": " ".join(COMMANDS), "pattern": "|".join(COMMANDS), "python": sys.executable}
    print(BASH_COMPLETION % names, end="")


def _exit_with_error(message: str) -> None:
    print(f"autoencoders: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
