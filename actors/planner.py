"""The planner: which attempts are leased, which are resolved, and when a flow is done.

Invariants: an attempt's number, id and seed never change; an attempt is leased to one worker at a time; a verdict
counts once; the accepted attempts of a type are its N lowest-numbered passing ones without duplicates, which is decided
only when everything below them is resolved, so how many attempts are out at once never changes which are accepted; a
worker that was given up changes nothing any more. State is small: a frontier per type and what lies ahead of it.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.text.dedup import Exact, Novelty

Lease = tuple[str, int]  # type and attempt
Spent = tuple[int, int, float]  # generated tokens, prompt tokens, cost
NOTHING: Spent = (0, 0, 0.0)
OWN_FAILURES = 3  # engine failures of an attempt, while the engine answers others, after which it goes to the ledger
SURE = 1.64  # standard deviations: fewer than are needed pass of so many attempts once in twenty times
NEARLY = 0.9  # share of a budget from which nothing is played on speculation


def enough(need: int, rate: float) -> int:
    """How many attempts give `need` passing ones in all but one of twenty cases (normal approximation).

    Args:
        need: passing attempts that lack, 1 or more.
        rate: probability that an attempt passes, above 0 and below 1.
    """
    spread = SURE * math.sqrt(rate * (1 - rate))
    return math.ceil(((spread + math.sqrt(spread**2 + 4 * rate * need)) / (2 * rate)) ** 2)


@dataclass
class Quota:
    """One type's state. Attempts below `frontier` are resolved; `ahead` holds results above it (key, or None for a fail)."""

    wanted: int
    max_attempts: int
    next: int = 0
    frontier: int = 0
    passed: int = 0
    failed: int = 0
    duplicates: int = 0
    cut: int | None = None
    returned: list[int] = field(default_factory=list)
    failures: dict[int, int] = field(default_factory=dict)  # attempt -> times that an engine failed at it alone
    leased: dict[int, str] = field(default_factory=dict)
    drafted: set[int] = field(default_factory=set)
    ahead: dict[int, str | None] = field(default_factory=dict)
    ahead_passed: int = 0
    novelty: Novelty = field(default_factory=Exact)

    def resolve(self, attempt: int, key: str | None) -> None:
        """Record an attempt's verdict: its duplicate key when it passed (may be empty), None when it failed."""
        if attempt < self.frontier or attempt in self.ahead:
            return
        self.leased.pop(attempt, None)
        self.failures.pop(attempt, None)
        self.drafted.discard(attempt)
        self.ahead[attempt] = key
        self.ahead_passed += key is not None
        while self.frontier in self.ahead:
            key_ahead = self.ahead.pop(self.frontier)
            self.ahead_passed -= key_ahead is not None
            if key_ahead is None:
                self.failed += 1
            elif self.cut is not None:
                pass  # surplus
            elif self.novelty.repeats(key_ahead, ""):
                self.duplicates += 1
            else:
                self.passed += 1
                if self.passed == self.wanted:
                    self.cut = self.frontier
            self.frontier += 1

    @property
    def outstanding(self) -> int:
        """Attempts that are leased, or drafted and not yet judged."""
        return len(self.leased) + len(self.drafted)

    @property
    def passing(self) -> int:
        """Attempts known to pass, those ahead of the frontier included."""
        return self.passed + self.ahead_passed

    @property
    def exhausted(self) -> bool:
        """True when every attempt allowed is resolved."""
        return self.frontier >= self.max_attempts

    @property
    def done(self) -> bool:
        """True when the N accepted attempts are known, or can't be reached."""
        return self.wanted == 0 or self.cut is not None or self.exhausted

    @property
    def rate(self) -> float:
        """The share of attempts that pass, by those seen so far; 3 of 4 before any was seen."""
        return (self.passing + 1.5) / (self.frontier + len(self.ahead) + 2)

    @property
    def left(self) -> int:
        """Attempts that nobody has and that may still be played."""
        return self.max_attempts - self.next + len(self.returned)

    def room(self) -> int:
        """How many more attempts are worth leasing: what is still needed, by the rate seen so far, less what is out."""
        if self.done:
            return 0
        need = self.wanted - self.passing
        if need <= 0:
            # Enough pass, but which of them are accepted is open until all below are resolved.
            return len(self.returned)
        return max(len(self.returned), min(math.ceil(need / self.rate) - self.outstanding, self.left))

    def spare(self) -> int:
        """How many more attempts may shorten the wait where there is nothing else to do: when too few of those that are
        out pass, it takes another round, and the engine is idle in each. None beyond what mostly suffices."""
        need = self.wanted - self.passing
        unknown = not (self.frontier or self.ahead)  # whether its first attempts pass is worth waiting for
        if self.done or need <= 0 or unknown:
            return 0
        return min(enough(need, self.rate) - self.outstanding, self.left)

    def lease(self, worker: str) -> int:
        """The lowest attempt that nobody has."""
        attempt = heapq.heappop(self.returned) if self.returned else self.next
        self.next = max(self.next, attempt + 1)
        self.leased[attempt] = worker
        return attempt


class Planner:
    """The pure part: quotas, leases, budgets and the feed of committed shards.

    Args:
        quotas: type -> (wanted, attempts at most).
        max_tokens: generated tokens that may be spent at most; 0 is no limit.
        max_cost: money that may be spent at most; 0 is no limit.
        verify: False where a worker's draft is final and counts as passed.
        novelty: makes what tells duplicates, once a type; it may give the same one for all.
        speculate: lease more than is needed by the rate seen so far where a worker has room for it.
    """

    def __init__(
        self,
        quotas: dict[str, tuple[int, int]],
        max_tokens: int = 0,
        max_cost: float = 0.0,
        verify: bool = True,
        novelty: Callable[[], Novelty] = Exact,
        speculate: bool = False,
    ) -> None:
        self.quotas = {kind: Quota(wanted, limit, novelty=novelty()) for kind, (wanted, limit) in quotas.items()}
        self.max_tokens = max_tokens
        self.max_cost = max_cost
        self.verify = verify
        self.speculate = speculate
        self.verdicts = 0
        self.tokens = 0
        self.prompt_tokens = 0
        self.cost = 0.0
        self.shards: list[tuple[str, list[str] | None]] = []
        self._handed: dict[int, list[tuple[str, list[str] | None]]] = {}
        self._registered: set[str] = set()
        self._given_up: set[str] = set()

    def restore(self, resolved: Iterable[tuple[str, int, str | None]], drafted: Iterable[tuple[str, int]]) -> None:
        """Take over what an earlier start left: verdicts, and drafts that nobody judged yet."""
        highest: dict[str, int] = {}
        resolved_attempts: dict[str, set[int]] = {}
        for kind, attempt, key in resolved:
            if kind in self.quotas:
                self.quotas[kind].resolve(attempt, key)
                highest[kind] = max(highest.get(kind, -1), attempt)
                resolved_attempts.setdefault(kind, set()).add(attempt)
        for kind, attempt in drafted:
            if kind in self.quotas and attempt not in resolved_attempts.get(kind, ()):
                self.quotas[kind].drafted.add(attempt)
                highest[kind] = max(highest.get(kind, -1), attempt)
        for kind, last in highest.items():
            quota = self.quotas[kind]
            quota.next = last + 1
            gaps = set(range(quota.frontier, last)) - resolved_attempts.get(kind, set()) - quota.drafted
            quota.returned = sorted(gaps)

    @property
    def commits(self) -> int:
        """Shards that were registered in this start."""
        return len(self._registered)

    def spend(self, tokens: int, prompt_tokens: int, cost: float) -> None:
        """Count what was spent."""
        self.tokens += tokens
        self.prompt_tokens += prompt_tokens
        self.cost += cost

    @property
    def _nearly_spent(self) -> bool:
        return bool(
            (self.max_tokens and self.tokens >= NEARLY * self.max_tokens)
            or (self.max_cost and self.cost >= NEARLY * self.max_cost)
        )

    @property
    def over_budget(self) -> str | None:
        """Which budget is spent, else None."""
        if self.max_tokens and self.tokens >= self.max_tokens:
            return f"generate.max_tokens ({self.max_tokens}) is spent"
        if self.max_cost and self.cost >= self.max_cost:
            return f"generate.max_cost ({self.max_cost:g}) is spent"
        return None

    @property
    def done(self) -> bool:
        """True when every type is done, or a budget is spent and nothing is out."""
        if all(quota.done for quota in self.quotas.values()):
            return True
        return self.over_budget is not None and not any(quota.outstanding for quota in self.quotas.values())

    def lease(self, worker: str, count: int) -> list[Lease]:
        """Up to `count` attempts, those types first that lack the largest share of their quota."""
        leases: list[Lease] = []
        if self.over_budget or worker in self._given_up:
            return leases
        for _ in range(count):
            kinds = [kind for kind, quota in self.quotas.items() if quota.room() > 0]
            if not kinds:
                break
            kind = min(
                kinds, key=lambda k: (self.quotas[k].passing + self.quotas[k].outstanding) / self.quotas[k].wanted
            )
            leases.append((kind, self.quotas[kind].lease(worker)))
        if self.speculate and not self._nearly_spent:
            for _ in range(count - len(leases)):
                kind = max(self.quotas, key=lambda k: self.quotas[k].spare())
                if self.quotas[kind].spare() <= 0:
                    break
                leases.append((kind, self.quotas[kind].lease(worker)))
        return leases

    def release(self, worker: str, leases: Iterable[Lease]) -> None:
        """Take a worker's leases back: the attempts are to be played again."""
        for kind, attempt in leases:
            quota = self.quotas[kind]
            if quota.leased.get(attempt) == worker:
                del quota.leased[attempt]
                heapq.heappush(quota.returned, attempt)

    def failed(self, worker: str, lease: Lease) -> bool:
        """An engine failed at an attempt while it answered others.

        True: it did so too often, the worker keeps the lease and writes the attempt down as failed. Else the attempt is to be
        played again.
        """
        kind, attempt = lease
        quota = self.quotas[kind]
        if quota.leased.get(attempt) != worker:
            return False
        quota.failures[attempt] = quota.failures.get(attempt, 0) + 1
        if quota.failures[attempt] >= OWN_FAILURES:
            return True
        self.release(worker, [lease])
        return False

    def is_given_up(self, worker: str) -> bool:
        """True for a worker that was given up."""
        return worker in self._given_up

    def lost(self, worker: str) -> int:
        """Take back all that a dead worker had; its committed shards must have been registered before.

        It gets no leases any more: a request that it made before it died may still be waiting here.
        """
        self._given_up.add(worker)
        count = 0
        for kind, quota in self.quotas.items():
            attempts = [attempt for attempt, owner in quota.leased.items() if owner == worker]
            self.release(worker, ((kind, attempt) for attempt in attempts))
            count += len(attempts)
        return count

    def committed(
        self,
        worker: str,
        name: str,
        drafted: Iterable[tuple[str, int, str]],
        failed: Iterable[Lease],
        spent: Spent = NOTHING,
    ) -> None:
        """A worker committed a shard: these drafts (type, attempt, key) and these failures are on disk.

        A shard is registered once, whoever reports it, and never for a worker that was given up: its attempts are others'
        now. What such a one wrote stays on disk, as after a crash, and the next start finds it there.
        """
        if worker in self._given_up or name in self._registered:
            return
        self._registered.add(name)
        self.spend(*spent)
        for kind, attempt in failed:
            if kind in self.quotas:
                self.quotas[kind].resolve(attempt, None)
        drafted = list(drafted)
        for kind, attempt, key in drafted:
            quota = self.quotas.get(kind)
            if quota is None:
                continue
            quota.leased.pop(attempt, None)
            if not self.verify:
                quota.resolve(attempt, key)
            elif attempt >= quota.frontier and attempt not in quota.ahead:
                quota.drafted.add(attempt)
        if self.verify and drafted:
            self.shards.append((name, None))

    def verified(self, rows: Iterable[tuple[str, int, str | None]], spent: Spent = NOTHING) -> None:
        """Verdicts of the stream: (type, attempt, key or None for a fail), and what the judges spent."""
        self.verdicts += 1
        self.spend(*spent)
        for kind, attempt, key in rows:
            if kind in self.quotas:
                self.quotas[kind].resolve(attempt, key)

    def take_shards(self, index: int, most: int) -> list[tuple[str, list[str] | None]] | None:
        """The shards of read task `index` (file name, ids to keep or None for all); None when there are none yet.

        The same index gets the same shards again, so that Ray may run a read task twice.
        """
        if index in self._handed:
            return self._handed[index]
        if self.done:
            return []  # what is still unjudged is surplus; a later start with a larger quota judges it
        if not self.shards:
            return None
        taken, self.shards = self.shards[:most], self.shards[most:]
        self._handed[index] = taken
        return taken

    def status(self) -> dict[str, Any]:
        """Counts by type and the money spent, for people."""
        return {
            "types": {
                kind: {
                    "wanted": quota.wanted,
                    "passing": min(quota.passing, quota.wanted),
                    "played": quota.frontier + len(quota.ahead) + len(quota.drafted),
                    "failed": quota.frontier + len(quota.ahead) - quota.passing,
                    "leased": len(quota.leased),
                    "unjudged": len(quota.drafted),
                    "done": quota.done,
                    "reached": quota.cut is not None or quota.wanted == 0,
                }
                for kind, quota in self.quotas.items()
            },
            "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens,
            "cost": self.cost,
            "commits": self.commits,
            "verdicts": self.verdicts,
            "budget": self.over_budget,
            "done": self.done,
        }


class PlannerActor:
    """The planner behind Ray: waits where there is nothing to give yet, and wakes those who wait on every change."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._changed = asyncio.Condition()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def lease(self, worker: str, count: int, wait: float) -> list[Lease] | None:
        """Up to `count` leases; [] when there were none for `wait` seconds; None when the flow is done."""
        try:
            async with asyncio.timeout(wait):
                while not self._planner.done and not self._planner.is_given_up(worker):
                    if leases := self._planner.lease(worker, count):
                        return leases
                    async with self._changed:
                        await self._changed.wait()
        except TimeoutError:
            return []
        return None

    async def release(self, worker: str, leases: list[Lease]) -> None:
        """See Planner.release."""
        self._planner.release(worker, leases)
        await self._notify()

    async def failed(self, worker: str, lease: Lease) -> bool:
        """See Planner.failed."""
        last = self._planner.failed(worker, lease)
        await self._notify()
        return last

    async def lost(self, worker: str) -> int:
        """See Planner.lost."""
        count = self._planner.lost(worker)
        await self._notify()
        return count

    async def committed(
        self, worker: str, name: str, drafted: list[tuple[str, int, str]], failed: list[Lease], spent: Spent
    ) -> None:
        """See Planner.committed."""
        self._planner.committed(worker, name, drafted, failed, spent)
        await self._notify()

    async def verified(self, rows: list[tuple[str, int, str | None]], spent: Spent) -> None:
        """See Planner.verified."""
        self._planner.verified(rows, spent)
        await self._notify()

    async def next_shards(self, index: int, most: int) -> list[tuple[str, list[str] | None]]:
        """Wait for committed shards; [] when the flow is done."""
        while (shards := self._planner.take_shards(index, most)) is None:
            async with self._changed:
                await self._changed.wait()
        return shards

    async def status(self) -> dict[str, Any]:
        """See Planner.status."""
        return self._planner.status()
