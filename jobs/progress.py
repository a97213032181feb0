"""What a person sees while a job runs: one live line on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.text.tidy import printable

EVERY = 10.0
SHORTEST = 0.5  # seconds of a phase that is worth a word


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss."""
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


@dataclass
class Phase:
    """A part of a job: its seconds, and of a flow the tokens generated, the mean and the highest number of attempts in flight,
    and the seconds at its end with less than half of the highest."""

    name: str
    seconds: float = 0.0
    tokens: int = 0
    attempt_seconds: float = 0.0
    most: int = 0
    tail: float = 0.0
    _observed_at: float = field(default_factory=time.monotonic)

    def observe(self, status: dict[str, Any]) -> None:
        """Take in a flow's status."""
        now = time.monotonic()
        seconds, self._observed_at = now - self._observed_at, now
        in_flight = sum(item["leased"] for item in status["types"].values())
        self.attempt_seconds += in_flight * seconds
        self.most = max(self.most, in_flight)
        self.tail = 0.0 if 2 * in_flight >= self.most else self.tail + seconds

    def as_line(self) -> str:
        """One line."""
        if not self.most:
            return f"{clock(self.seconds):>6}  {self.name}"
        parts = [
            f"{self.tokens / self.seconds:.0f} tokens/s",
            f"{self.attempt_seconds / self.seconds:.1f} of {self.most} in flight",
        ]
        if self.tail >= SHORTEST:
            parts.append(f"the last {clock(self.tail)} with less than half of them")
        return f"{clock(self.seconds):>6}  {self.name}: {', '.join(parts)}"


class Progress:
    """Prints messages and the state of a flow. `what` names what is counted (dialogs, APIs)."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or sys.stderr
        self._live = bool(self._stream.isatty())
        self._last = 0.0
        self._width = 0
        self._start: tuple[float, int] | None = None
        self._phases: list[Phase] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Time a part of the job, for `phases`."""
        phase, started = Phase(name), time.monotonic()
        self._phases.append(phase)
        try:
            yield phase
        finally:
            phase.seconds = time.monotonic() - started

    def phases(self, seconds: float) -> str:
        """Where the time of a job went that took `seconds`: a line for each phase."""
        long_phases = [phase for phase in self._phases if phase.seconds >= SHORTEST]
        rest = Phase("all else", seconds - sum(phase.seconds for phase in long_phases))
        if not long_phases:
            return ""
        return "\n".join(["where the time went:", *(phase.as_line() for phase in (*long_phases, rest))])

    def say(self, text: str) -> None:
        """Print a line that the live line does not overwrite; it may quote strangers."""
        self._clear()
        print(printable(text), file=self._stream, flush=True)

    def begin(self) -> None:
        """Start a flow: its rates count from the next `show` on."""
        self._start, self._last = None, 0.0

    def show(self, what: str, status: dict[str, Any], seconds: float) -> None:
        """Print the state of a flow after `seconds`: on a terminal at every call, else at most every EVERY seconds and when it is done."""
        if self._start is None:
            self._start = (seconds, status["tokens"])
        now = time.monotonic()
        if not self._live and now - self._last < EVERY and not status["done"]:
            return
        self._last = now
        text = line(what, status, seconds, self._start)
        if self._live:
            self._clear()
            print(text[: _columns() - 1], end="", file=self._stream, flush=True)
            self._width = len(text)
        else:
            print(text, file=self._stream, flush=True)

    def end(self) -> None:
        """End the live line, if there is one; what it showed last stays."""
        if self._live and self._width:
            print(file=self._stream, flush=True)
            self._width = 0

    def _clear(self) -> None:
        if self._live and self._width:
            print("\r\x1b[2K", end="", file=self._stream, flush=True)
            self._width = 0


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size((120, 24)).columns


def line(what: str, status: dict[str, Any], seconds: float, start: tuple[float, int]) -> str:
    """One line: time, accepted of wanted by type, played, not accepted, in flight, speed."""
    types = status["types"]
    done = sum(item["passing"] for item in types.values())
    wanted = sum(item["wanted"] for item in types.values())
    played = sum(item["played"] for item in types.values())
    failed = sum(item["failed"] for item in types.values())
    in_flight = sum(item["leased"] for item in types.values())
    judging = sum(item["unjudged"] for item in types.values())
    rate = (status["tokens"] - start[1]) / max(seconds - start[0], 1e-9)
    groups: dict[str, list[int]] = {}
    for kind, item in types.items():
        group = groups.setdefault(kind.partition(".")[0], [0, 0])
        group[0] += item["passing"]
        group[1] += item["wanted"]
    listed = ", ".join(f"{kind} {number}/{total}" for kind, (number, total) in groups.items() if total)
    by_type = f" ({listed})" if len(groups) > 1 else ""
    parts = [f"{what} {done}/{wanted}{by_type}", f"played {played}", f"not accepted {failed}", f"in flight {in_flight}"]
    if judging:
        parts.append(f"being judged {judging}")
    parts.append(f"{rate:.0f} tokens/s")
    return f"[{clock(seconds)}] " + " · ".join(parts)
