"""What the rules keep of the texts that they read."""

import gc
import json
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.material import WEATHER, calls, good_dialogs, result, say, user
from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.formats import WRITERS
from toolace_ray.corpus.verification import verify_row
from toolace_ray.records.dialog import Dialog
from toolace_ray.text import memo

CONFIG = VerifyConfig()


def rows(count, chars):
    """Rows of strangers, each with a result of its own, a number of which the answer tells."""
    good = good_dialogs()["single"].model_copy(update={"tools": (WEATHER.model_copy(update={"returns": {}}),)})
    for number in range(count):
        told = f"Guest {number} has been there since the beginning. " * (chars // 48)
        messages = [
            good.messages[0],
            user(f"What will the weather be like in Lima tomorrow? I am guest {number}."),
            calls(("c1", "get_forecast", {"city": "Lima", "date": "2026-05-02"})),
            result("c1", "get_forecast", {"summary": told, "high": 24}),
            say(f"It will be sunny in Lima, with a high of 24 degrees, guest {number}."),
        ]
        yield json.dumps(WRITERS["openai"](good.model_copy(update={"messages": tuple(messages)})))


def dialogs_held():
    gc.collect()
    return sum(type(item) is Dialog for item in gc.get_objects())


def test_rules_keep_no_dialogs(monkeypatch):
    monkeypatch.setattr(memo, "LONG", 1 << 15)  # what may be kept is then small beside what must not be
    known, count, chars = 10, 30, 20 << 10
    held = []
    tracemalloc.start()
    try:
        for number, row in enumerate(rows(known + count, chars), 1):
            assert verify_row(row, "openai", CONFIG).accepted
            if number in (known, known + count):
                held.append((dialogs_held(), tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    (dialogs_before, before), (dialogs_after, after) = held
    assert dialogs_before == dialogs_after
    assert after - before < count * chars // 2, held  # half of what one copy of each text would take


def test_what_is_kept_of_long_texts_is_bounded():
    asked = []

    @memo.of_texts(4)
    def length(text):
        asked.append(text[:1])
        return len(text)

    long = [letter * (memo.LONG // 2) for letter in "abcd"]
    for text in (long[0], long[1], long[0], long[1]):
        assert length(text) == memo.LONG // 2
    assert asked == ["a", "b"]  # both fit
    for text in (long[2], long[3], long[0]):
        length(text)
    assert asked == ["a", "b", "c", "d", "a"]
    assert length("e" * 4 * memo.LONG) == length("e" * 4 * memo.LONG)
    assert asked[-2:] == ["a", "e"]  # larger than all of it, and kept until the next one


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), st.sampled_from([1, memo.SHORT, memo.LONG // 3]), st.booleans())))
def test_what_is_kept_is_what_is_given(items):
    @memo.of_texts(2)
    def read(text, flag):
        return hash(text), flag

    for text, times, flag in items:
        assert read(text * times, flag) == (hash(text * times), flag)
