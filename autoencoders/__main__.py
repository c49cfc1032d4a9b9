"""Usage: autoencoders <command> [arguments], or python -m autoencoders <command> [arguments].

Commands:
  train       train a model, or sweep over options with -m
  apply       apply a trained run: samples, edits, restoration, evaluation, ...
  report      collect runs into one HTML or Markdown page
  dashboard   create W&B workspaces

`autoencoders <command> --help` describes a command, `autoencoders --version` prints the version, and
`autoencoders completion bash` prints a script that enables tab completion.
"""

from __future__ import annotations

import runpy
import sys

from autoencoders import __version__

COMMANDS = ("train", "apply", "report", "dashboard")


def main() -> None:
    """Run the command named by the first argument, as `python -m autoencoders.<command>` does."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print((__doc__ or "").strip())
    elif command == "--version":
        print(f"autoencoders {__version__}")
    elif command in COMMANDS:
        sys.argv[1:] = arguments
        # As __main__, so that the processes that Lightning starts repeat this command.
        runpy.run_module(f"autoencoders.{command}", run_name="__main__", alter_sys=True)
    else:
        print(f"autoencoders: command must be one of {', '.join(COMMANDS)}, got {command!r}.", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
