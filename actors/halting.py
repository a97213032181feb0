"""Ending the Ray Data executions of a thread from another one: they may wait minutes for what nobody needs any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.data import DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data.exceptions import ExecutionTimeoutError

_HERE = threading.local()


class Halted(ExecutionTimeoutError):
    """An execution was ended because its result is not needed. (Ray Data prints the stack of any other error of its own.)"""


class Halt(ExecutionCallback):
    """Ray Data makes one for each execution, in the thread that starts it, and calls it several times a second."""

    def __init__(self) -> None:
        self._event: threading.Event | None = getattr(_HERE, "event", None)

    def on_execution_step(self, executor: Any) -> None:
        """Raise Halted, which ends the execution and cancels its tasks, once the event is set."""
        if self._event is not None and self._event.is_set():
            raise Halted("the execution was ended: its result is not needed")


@contextmanager
def halted_by(event: threading.Event) -> Iterator[None]:
    """Within it, setting the event ends the executions that this thread starts; they raise Halted."""
    classes = DataContext.get_current().custom_execution_callback_classes
    if Halt not in classes:
        classes.append(Halt)
    _HERE.event = event
    try:
        yield
    finally:
        del _HERE.event
