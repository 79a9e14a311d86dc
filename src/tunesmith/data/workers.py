"""Worker processes: one function over many arguments, in order, with little memory.

Not multiprocessing's own pool: that one forks a process in which torch and its threads may already run, or runs the
user's script a second time. A worker here is a fresh Python that imports the function's module and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import RunError

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from {module} import serve; serve(int(sys.argv[1]))"
)


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers(AbstractContextManager["Workers"]):
    """`count` processes that apply `function` (picklable); use it in a `with` statement."""

    def __init__(self, function: Callable[[Any], Any], count: int) -> None:
        self._processes: dict[Connection, subprocess.Popen[bytes]] = {}
        program = _PROGRAM.format(module=__name__)
        for _ in range(count):
            ours, theirs = Pipe()
            with theirs:
                command = [sys.executable, "-c", program, str(theirs.fileno()), json.dumps(sys.path)]
                self._processes[ours] = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            ours.send(function)

    def __exit__(self, *_: object) -> None:
        for connection, process in self._processes.items():
            connection.close()  # a worker that waits ends by itself
            process.terminate()
        for process in self._processes.values():
            process.wait()

    def map(self, arguments: Iterator[Any]) -> Iterator[Any]:
        """Yield function(argument) for each argument, in their order.

        A worker gets its next argument when its last result is here, so nothing piles up: at most four results for
        each worker wait for an earlier one.

        Raises:
            RunError: a worker died.
        """
        idle, busy, done = list(self._processes), dict[Connection, int](), dict[int, Any]()
        given = wanted = 0
        more = True
        while more or busy or done:
            while more and idle and given - wanted < 4 * len(self._processes):
                try:
                    argument = next(arguments)
                except StopIteration:
                    more = False
                    break
                busy[self._send(idle.pop(), argument)] = given
                given += 1
            for connection in wait(list(busy)) if busy and wanted not in done else ():
                assert isinstance(connection, Connection)
                done[busy.pop(connection)] = self._receive(connection)
                idle.append(connection)
            while wanted in done:
                yield done.pop(wanted)
                wanted += 1

    def _send(self, connection: Connection, argument: Any) -> Connection:
        try:
            connection.send(argument)
        except OSError:
            self._died(connection)
        return connection

    def _receive(self, connection: Connection) -> Any:
        try:
            worked, result = connection.recv()
        except (EOFError, OSError):
            self._died(connection)
        if not worked:
            raise RuntimeError(f"In a worker process:\n{result}")
        return result

    def _died(self, connection: Connection) -> None:
        status = self._processes[connection].wait()
        reason = f"signal {-status}" if status < 0 else f"exit status {status}"
        raise RunError(
            f"A worker process that prepares data has died ({reason}); out of memory is the usual cause. Close other "
            "programs, or use fewer processes (data.processes=1)."
        )


def serve(handle: int) -> None:
    """Be a worker: receive the function, then arguments; send (True, result) or (False, traceback) for each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    connection = Connection(handle)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent has gone, or is done
        function = connection.recv()
        while True:
            argument = connection.recv()
            try:
                result = (True, function(argument))
            except Exception:  # noqa: BLE001 - told to the parent, which raises it
                result = (False, traceback.format_exc())
            connection.send(result)
