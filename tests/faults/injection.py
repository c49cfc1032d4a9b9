"""Functions that run commands in child processes, and kill them at a chosen point."""

import os
import signal
import sys
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra


class Point:
    """A function in which a process can be killed.

    Args:
        owner: module or class.
        name: name of the function.
        applies: called with the arguments of a call; returns whether the call counts. None: all calls count.
        half: called with the arguments before the process is killed, for example to write half of a file.
    """

    def __init__(self, owner, name, applies=None, half=None):
        self.owner, self.name, self.applies, self.half = owner, name, applies, half

    def install(self, on_call):
        """Call `on_call` with the number of the call, from 1, before each call that counts."""
        plain, calls = getattr(self.owner, self.name), iter(range(1, 10**9))

        def function(*arguments, **keywords):
            if self.applies is None or self.applies(*arguments, **keywords):
                on_call(next(calls), arguments)
            return plain(*arguments, **keywords)

        setattr(self.owner, self.name, function)

    def kill(self, number):
        """Kill this process at the call with a number."""

        def on_call(call, arguments):
            if call == number:
                if self.half:
                    self.half(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)

        self.install(on_call)

    def count(self, file):
        """Append one byte to a file at each call."""

        def on_call(call, arguments):
            with file.open("ab") as stream:
                stream.write(b".")

        self.install(on_call)


def run_child(function, log):
    """Run a function in a forked process whose output goes to a file.

    Returns:
        The exit status, or -9 if the process was killed.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            function()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_command(module, words, folder, log, prepare=None):
    """Run a command of the package in a forked process, with `folder` as the current folder; see `run_child`.

    Args:
        module: module with a function `main`.
        words: arguments of the command.
        folder: current folder of the process. It is created.
        log: file for the output.
        prepare: called in the process before the command.
    """

    def function():
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        if prepare is not None:
            prepare()
        GlobalHydra.instance().clear()
        sys.argv = [module.__name__, *words]
        module.main()

    return run_child(function, log)


def is_checkpoint(path, content):
    """Return whether `Path.write_bytes` writes a checkpoint."""
    return path.name.endswith(".ckpt.partial")


def write_half(path, content):
    """Write the first half of a file."""
    with Path(path).open("wb") as stream:
        stream.write(content[: len(content) // 2])
