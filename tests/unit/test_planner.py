import asyncio
import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.planner import OWN_FAILURES, Planner, PlannerActor, enough
from toolace_ray.store.ledger import select


def play(planner, verdict, rng, crash_at=None, slots=4):
    """Workers and a stream in miniature: attempts finish and are judged in any order."""
    flying, drafted, steps = [], [], 0
    while not planner.done:
        steps += 1
        assert steps < 20_000
        if crash_at is not None and steps == crash_at:
            return flying, drafted
        choice = rng.random()
        if choice < 0.4:
            flying += planner.lease("w", rng.randint(1, slots))
        elif choice < 0.7 and flying:
            kind, attempt = flying.pop(rng.randrange(len(flying)))
            if verdict(kind, attempt) == "unplayable":
                planner.committed("w", f"s{kind}{attempt}", [], [(kind, attempt)])
            else:
                planner.committed("w", f"s{kind}{attempt}", [(kind, attempt, f"{attempt}")], [])
                drafted.append((kind, attempt))
        elif drafted:
            kind, attempt = drafted.pop(rng.randrange(len(drafted)))
            planner.quotas[kind].resolve(attempt, f"{attempt}" if verdict(kind, attempt) == "pass" else None)
    return flying, drafted


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 6))
def test_any_order_ends_with_the_lowest_passing_attempts(seed, wanted, factor):
    def verdict(kind, attempt):
        return random.Random(f"{seed}{kind}{attempt}").choice(["pass", "pass", "fail", "unplayable"])

    cuts = []
    for order in range(3):
        planner = Planner({"a": (wanted, wanted * factor), "b": (1, 50)})
        play(planner, verdict, random.Random(order))
        cuts.append(planner.quotas["a"].cut)
        quota = planner.quotas["a"]
        if quota.cut is None:
            assert quota.frontier == quota.max_attempts
            assert quota.passed < wanted
        else:
            assert sum(verdict("a", i) == "pass" for i in range(quota.cut + 1)) == wanted
    assert len(set(cuts)) == 1


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_a_restored_planner_plays_what_is_missing_and_nothing_twice(seed, crash_at):
    def verdict(kind, attempt):
        return random.Random(f"{seed}{attempt}").choice(["pass", "fail", "unplayable"])

    rng = random.Random(seed)
    first = Planner({"a": (6, 60)})
    _, drafted = play(first, verdict, rng, crash_at)
    quota = first.quotas["a"]
    resolved = [("a", i, f"{i}" if verdict("a", i) == "pass" else None) for i in range(quota.frontier)]
    resolved += [("a", i, key) for i, key in quota.ahead.items()]
    second = Planner({"a": (6, 60)})
    second.restore(resolved, drafted)
    known = {attempt for _, attempt, _ in resolved} | {attempt for _, attempt in drafted}
    leased = second.lease("gone", 100)
    assert not {attempt for _, attempt in leased} & known
    second.lost("gone")
    # The stream judges what was drafted; then both end alike.
    for _, attempt in drafted:
        second.quotas["a"].resolve(attempt, f"{attempt}" if verdict("a", attempt) == "pass" else None)
    play(second, verdict, rng)
    third = Planner({"a": (6, 60)})
    play(third, verdict, rng)
    assert second.quotas["a"].cut == third.quotas["a"].cut


def test_a_dead_workers_leases_go_out_again():
    planner = Planner({"a": (4, 40)})
    taken = planner.lease("dead", 3)
    assert planner.lost("dead") == 3
    assert planner.lease("alive", 3) == taken


def test_a_dead_workers_waiting_request_gets_nothing():
    async def scene():
        planner = Planner({"a": (2, 40)})
        actor = PlannerActor(planner)
        taken = await actor.lease("dead", 10, 1.0)
        waiting = asyncio.ensure_future(actor.lease("dead", 10, 30.0))
        await asyncio.sleep(0)
        assert await actor.lost("dead") == len(taken)
        assert await waiting is None
        assert await actor.lease("alive", 10, 1.0) == taken

    asyncio.run(scene())


def test_a_release_by_another_worker_is_nothing():
    planner = Planner({"a": (2, 40)})
    taken = planner.lease("new", 2)
    planner.release("old", taken)
    assert planner.quotas["a"].leased.keys() == {attempt for _, attempt in taken}


def test_a_shard_counts_once_and_a_read_task_gets_the_same_again():
    planner = Planner({"a": (2, 20)})
    planner.lease("w", 2)
    for _ in range(2):
        planner.committed("w", "x.parquet", [("a", 0, "k")], [("a", 1)])
    assert planner.shards == [("x.parquet", None)]
    assert planner.take_shards(0, 4) == [("x.parquet", None)]
    assert planner.take_shards(0, 4) == [("x.parquet", None)]
    assert planner.take_shards(1, 4) is None


def test_duplicates_do_not_count():
    planner = Planner({"a": (2, 20)})
    for attempt in range(3):
        planner.quotas["a"].resolve(attempt, "same" if attempt < 2 else "other")
    assert planner.quotas["a"].cut == 2
    assert planner.quotas["a"].duplicates == 1


def test_a_spent_budget_ends_the_flow_and_says_so():
    planner = Planner({"a": (5, 50)}, max_tokens=100)
    planner.lease("w", 1)
    planner.spend(100, 0, 0.0)
    assert planner.lease("w", 1) == []
    assert not planner.done  # one is still out
    planner.committed("w", "x.parquet", [], [("a", 0)])
    assert planner.done
    assert "max_tokens" in planner.status()["budget"]


def test_leases_follow_need():
    planner = Planner({"a": (1, 100), "b": (100, 1000)})
    kinds = [kind for kind, _ in planner.lease("w", 20)]
    assert kinds.count("a") <= 2
    assert kinds.count("b") >= 18


def test_select_takes_the_lowest_and_sorts_out_duplicates():
    rows = [("a", 3, "z"), ("a", 0, "x"), ("a", 1, "x"), ("a", 2, "y"), ("b", 0, ""), ("b", 1, "")]
    accepted, duplicates = select(rows, {"a": 2, "b": 2})
    assert accepted == {("a", 0), ("a", 2), ("b", 0), ("b", 1)}
    assert duplicates == {("a", 1): "the same as a-000000"}


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(2, 12), st.integers(1, 64))
def test_speculation_changes_how_many_are_played_and_never_which_are_accepted(seed, wanted, factor, slots):
    def verdict(kind, attempt):
        return random.Random(f"{seed}{kind}{attempt}").choice(["pass", "fail", "unplayable"])

    quotas = {"a": (wanted, wanted * factor), "b": (1, 40)}
    plain, eager = Planner(quotas), Planner(quotas, speculate=True)
    play(plain, verdict, random.Random(seed), slots=slots)
    play(eager, verdict, random.Random(seed + 1), slots=slots)
    for kind, (_, most) in quotas.items():
        assert eager.quotas[kind].cut == plain.quotas[kind].cut
        if plain.quotas[kind].cut is None:
            assert eager.quotas[kind].passed == plain.quotas[kind].passed
            assert eager.quotas[kind].exhausted
        assert eager.quotas[kind].next <= most


def lacking(wanted, passed, failed, **limits):
    """A planner whose one type has so many attempts behind it, nothing out."""
    planner = Planner({"a": (wanted, 1000)}, speculate=True, **limits)
    for attempt in range(passed + failed):
        planner.quotas["a"].resolve(attempt, str(attempt) if attempt < passed else None)
    planner.quotas["a"].next = passed + failed
    return planner


def test_a_type_that_lacks_one_dialog_gets_many_attempts_at_once():
    planner = lacking(41, 40, 160)  # one of five passes
    plain = lacking(41, 40, 160)
    plain.speculate = False
    assert len(plain.lease("w", 16)) == 5
    tries = enough(1, planner.quotas["a"].rate)
    assert tries > 12
    assert planner.lease("w", 16) == [("a", attempt) for attempt in range(200, 200 + min(16, tries))]


def test_nothing_is_played_on_speculation_before_the_first_verdict_of_its_kind():
    planner = lacking(1, 0, 0)
    assert len(planner.lease("w", 16)) == 2
    planner.quotas["a"].resolve(0, None)
    assert len(planner.lease("w", 16)) > 2


@given(st.integers(1, 200), st.integers(0, 300), st.integers(1, 300), st.integers(1, 500))
def test_speculation_stays_within_the_slots_and_what_is_plausible(lack, passed, failed, slots):
    planner = lacking(passed + lack, passed, failed)
    quota = planner.quotas["a"]
    leased = planner.lease("w", slots)
    assert len(leased) <= slots
    assert [attempt for _, attempt in leased] == list(range(passed + failed, passed + failed + len(leased)))
    assert len(leased) == min(slots, quota.left + len(leased), enough(lack, quota.rate))
    assert enough(lack, quota.rate) >= lack / quota.rate
    # Whoever asks next gets nothing beyond it.
    more = planner.lease("v", 10_000)
    assert len(leased) + len(more) == min(quota.max_attempts - passed - failed, enough(lack, quota.rate))


def test_so_many_attempts_mostly_suffice():
    for need, rate in ((1, 0.1), (1, 0.5), (1, 0.9), (5, 0.3), (40, 0.75)):
        tries = enough(need, rate)
        short = sum(math.comb(tries, k) * rate**k * (1 - rate) ** (tries - k) for k in range(need))
        assert short < 0.06, (need, rate, tries)


def test_nothing_is_played_on_speculation_when_the_budget_is_nearly_spent():
    planner = lacking(41, 40, 160, max_tokens=1000)
    planner.spend(950, 0, 0.0)
    assert len(planner.lease("w", 16)) == 5


def test_an_attempts_failures_are_counted_over_all_workers():
    planner = Planner({"a": (1, 40)})
    for number in range(OWN_FAILURES - 1):
        (lease, *_) = planner.lease(f"w{number}", 1)
        assert lease == ("a", 0)
        assert not planner.failed(f"w{number}", lease)
        planner.lost(f"w{number}")
    (lease,) = planner.lease("last", 1)
    assert planner.failed("last", lease)
    assert planner.quotas["a"].leased == {0: "last"}  # it writes it down
    planner.lost("last")  # or dies before it did
    (lease,) = planner.lease("next", 1)
    assert planner.failed("next", lease)


def test_a_worker_that_was_given_up_changes_nothing_any_more():
    planner = Planner({"a": (2, 40)})
    taken = planner.lease("away", 2)
    planner.lost("away")
    assert planner.lease("here", 2) == taken
    planner.committed("away", "away-1.parquet", [("a", 0, "k")], [("a", 1)], (5, 5, 1.0))
    assert planner.shards == []
    assert planner.tokens == 0
    assert planner.quotas["a"].leased == dict.fromkeys([0, 1], "here")
    assert not planner.failed("away", ("a", 0))
    planner.committed("here", "here-1.parquet", [("a", 0, "k")], [("a", 1)], (5, 5, 1.0))
    assert planner.shards == [("here-1.parquet", None)]
    assert planner.quotas["a"].drafted == {0}
