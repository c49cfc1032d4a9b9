"""Usage: autoencoders <command> [arguments], or python -m autoencoders <command> [arguments].

Commands:
  train       train a model, or train one run per combination of option values (sweep) with -m
  apply       apply a trained run: reconstruct, sample, edit or evaluate images, ...
  explore     write a page in which the trained decoder runs in the browser
  report      combine runs into one HTML or Markdown page
  dashboard   create or update workspaces in a W&B project
  hub         send a trained model to the Hugging Face hub, or fetch one
  completion  print the script for tab completion in bash. To enable it: eval "$(autoencoders completion bash)"

`autoencoders <command> --help` describes a command. `autoencoders --version` prints the version of the package.
"""

from __future__ import annotations

import os
import runpy
import shlex
import sys
from typing import NoReturn

from autoencoders import __version__
from autoencoders.utils.startup import prepare_process, run_command
from autoencoders.utils.streams import check_output

COMMANDS = ("train", "apply", "explore", "report", "dashboard", "hub")

BASH_COMPLETION = r"""_autoencoders_completion()
{
    local line="${COMP_LINE:0:COMP_POINT}" word="" choices=""
    local -a words
    read -ra words <<< "$line"
    local position=${#words[@]}
    if [[ "$line" != *[[:space:]] ]]; then
        position=$((position - 1))
        word="${words[$position]}"
    fi
    if (( position == 1 )); then
        choices="@COMMANDS@ completion --help --version"
        compopt +o nospace 2> /dev/null
    elif [[ " @COMMANDS@ " == *" ${words[1]} "* ]]; then
        # Hydra ignores the first word of the line. Remove "autoencoders", so that the first word is the command.
        line="${line#*"${words[0]}"*[[:space:]]}"
        local module="autoencoders.${words[1]}"
        choices=$(COMP_LINE="$line" COMP_POINT=${#line} @PYTHON@ -m "$module" -sc query=bash 2> /dev/null)
    elif (( position == 2 )) && [[ "${words[1]}" == completion ]]; then
        choices="bash"
    fi
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
    # If "=" is a word break, bash replaces only the text after the last "=". Remove the text up to it.
    if [[ "$word" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    fi
}
complete -o nospace -o default -F _autoencoders_completion autoencoders
"""


def main() -> None:
    """Run the command in the first command-line argument, as `python -m autoencoders.<command>` does."""
    command, *arguments = sys.argv[1:] or ["--help"]
    with run_command():
        if command in ("-h", "--help"):
            print((__doc__ or "").strip())
            check_output()
        elif command == "--version":
            print(f"autoencoders {__version__}")
            check_output()
        elif command == "completion":
            print_completion(arguments)
            check_output()
        elif command in COMMANDS:
            sys.argv[1:] = arguments
            sys.path.insert(0, os.getcwd())  # for modules of the user, as with python -m
            # Run the module as __main__, because Lightning starts further processes by repeating this command.
            runpy.run_module(f"autoencoders.{command}", run_name="__main__", alter_sys=True)
        else:
            exit_with_usage_error(
                f"The command must be one of {', '.join(COMMANDS)}, completion, got {command!r}. "
                "Run `autoencoders --help`."
            )


def print_completion(arguments: list[str]) -> None:
    """Print the script for tab completion in bash. Exit with an error if the arguments are not `bash`."""
    if arguments != ["bash"]:
        exit_with_usage_error(
            f"The shell after `completion` must be bash, got {' '.join(arguments) or 'nothing'!r}. "
            "Run `autoencoders completion bash`."
        )
    script = BASH_COMPLETION.replace("@COMMANDS@", " ".join(COMMANDS))
    print(script.replace("@PYTHON@", shlex.quote(sys.executable)), end="")


def exit_with_usage_error(message: str) -> NoReturn:
    """Print an error message to stderr and exit with status 2."""
    print(f"autoencoders: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    prepare_process()
    main()
