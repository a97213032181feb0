import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.material import good_dialogs
from toolace_ray.dlv.derived import clock_follows, date_follows, number_follows
from toolace_ray.dlv.trace import trace
from toolace_ray.text import units
from toolace_ray.text.dates import dates_in, parts_in
from toolace_ray.text.numerals import number_words, numbers
from toolace_ray.text.values import find

TODAY = datetime.date(2026, 5, 1)


@pytest.mark.parametrize(
    ("value", "text", "how"),
    [
        ("Lima", "in Lima.", "literal"),
        ("Lima", "in lima", "normalised"),
        ("Lima", "in Limassol", None),
        ("blue_room", "the Blue Room", "normalised"),
        ("spoon", "two spoons", "normalised"),
        (3, "three people", "normalised"),
        (25, "twenty five of them", "normalised"),
        (3, "3 people", "literal"),
        (3, "on 2026-05-03", None),
        (3, "at 13:30", None),
        (1500, "1,500 euros", "literal"),
        (30, "30km away", "normalised"),
        (2.5, "2.5 hours", "literal"),
        (True, "with breakfast", "normalised"),
        (False, "with breakfast", None),
        (False, "without breakfast, please", "normalised"),
        (False, "no meat. With breakfast", None),
        ("2026-05-02", "tomorrow", "normalised"),
        ("2026-05-03", "on May 3rd", "normalised"),
        ("2026-05-08", "next Friday", "normalised"),
        ("2026-05-09", "next Friday", None),
        ("14:30", "at 2:30 pm", "normalised"),
        ("09:00", "at 9 am", "normalised"),
        (20, "twenty-one of them", None),
        (1, "twenty-one of them", None),
        (121, "one hundred and twenty one", "normalised"),
        (100, "one hundred and twenty one", None),
        (2, "two, three", "normalised"),
        ("2026-03-04T15:30:00Z", "on March 4", None),
        ("2026-03-04T15:30:00Z", "on March 4th at 3:30 pm", "normalised"),
        (10**320, "9" * 400, None),
        ("2026-05-15", "in two weeks", "normalised"),
        ("2026-05-14", "in two weeks", None),
        ("2026-04-28", "3 days ago", "normalised"),
        ("2026-05-04", "from May 3 to 5", "normalised"),
        ("2024-05-03", "on May 3", None),
        ("2024-05-03", "on May 3, 2024", "normalised"),
        ("05/03/2026", "on May 3rd", "normalised"),
        ("2026-05-02", "this weekend", "normalised"),
        ("15:45", "at quarter to four", "normalised"),
        ("EUR", "for 50 euros", "normalised"),
        ("USD", "for 50 euros", None),
        ("Sao Paulo", "to São Paulo", "normalised"),
        (2_000_000, "2 million people", "normalised"),
        (0.05, "at 5%", "normalised"),
        (12, "a dozen eggs", "normalised"),
        (3, "on the 3rd floor", "normalised"),
        ("", "anything", None),
        (None, "anything", None),
    ],
)
def test_values_are_found_as_people_say_them(value, text, how):
    assert find(value, text, TODAY, ("breakfast",)) == how


def test_numbers_ignore_dates_times_and_codes():
    assert numbers("On 2026-05-02 at 14:30 train TR-1020 takes 3 hours and costs 1,250.50") == (3.0, 1250.5)


def test_number_words():
    assert [number_words(n) for n in (0, 21, 100, 345, 1000, -1)] == [
        "zero", "twenty-one", "one hundred", "three hundred and forty-five", None, None,
    ]  # fmt: skip


def test_each_argument_is_traced_to_its_message():
    records = {(r.call_id, r.path): (r.source, r.message) for r in trace(good_dialogs()["dependent"])}
    assert records == {
        ("c1", "/origin"): ("literal", 1),
        ("c1", "/destination"): ("literal", 1),
        ("c2", "/train_id"): ("tool_output", 3),
        ("c2", "/seats"): ("normalised", 1),
    }


@pytest.mark.parametrize(
    ("text", "date"), [("tomorrow", "2031-01-07"), ("in 3 days", "2031-01-07"), ("next Friday", "2031-01-07")]
)
def test_a_relative_date_may_be_any_where_today_is_not_known(text, date):
    assert find(date, text, None) == "normalised"
    assert find(date, "for Lima", None) is None


@pytest.mark.parametrize(
    ("value", "unit", "text", "how"),
    [
        (120, "min", "for 2 hours", "normalised"),
        (90, "min", "for 2 hours", None),
        (3.1, "mi", "a 5 km run", "normalised"),
        (68, "fahrenheit", "20 degrees Celsius", "normalised"),
        (60, "min", "half an hour or an hour", "normalised"),
    ],
)
def test_what_is_said_in_another_unit_is_converted(value, unit, text, how):
    assert find(value, text, TODAY, (), units.unit(unit)) == how


@pytest.mark.parametrize(
    ("name", "description", "symbol"),
    [
        ("distance_km", "", "km"),
        ("durationMinutes", "", "min"),
        ("distance", "Distance in kilometres", "km"),
        ("temperature", "Degrees (Celsius)", "celsius"),
        ("price_min", "Lowest price", None),
        ("day", "Day of the month", None),
        ("budget", "Amount in euros", "eur"),
    ],
)
def test_the_unit_that_a_parameter_wants(name, description, symbol):
    found = units.wanted(description, name)
    assert (found.symbol if found else None) == symbol


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "10 Percent"),
        (2_000_000, "2 MILLION people"),
        (2_000_000, "2 mıllıon people"),
        (300, "5 minuteſ"),
        (360, "ſix minutes"),
        ("EUR", "in euroſ"),
        ("2026-08-05", "5 Auguſt 2026"),
        ("2026-05-02", "thiſ weekend"),
        ("2026-04-29", "the day before yeſterday"),
        ("2026-05-02", "one day from Today"),
    ],
)
def test_words_are_read_in_letters_that_a_pattern_takes_for_its_own(value, text):
    assert find(value, text, TODAY, (), units.unit("s")) is not None


LOOKALIKES = {"s": "ſ", "i": "ı", "I": "İ", "k": "K"}
SAID = (
    "0 1 10 31 99 2024 9999 ² ½ ٣ 1,250.50 -3 one six twelve twenty-one half a an hundred dozen percent % million thousand k m bn 千 "
    "minute minutes km euro euros pounds dollars US$ € $ feet inches ' \" ° C May August Friday Sunday next last this week weekend "
    "month year fortnight days weeks ago later from now today tomorrow yesterday tonight the day before after in within of on and to "
    "until 3rd 5th 12/31/24 31.12.9999 2024-02-30 2024年2月3 at noon midday midnight past quarter o'clock a.m. pm morning evening 24:00 "
    "7:30 3d6 eighties end beginning all whole , . - – : ; [ ] ( )"
)
WRITTEN = st.sampled_from(
    [str, str.upper, str.title, lambda word: "".join(LOOKALIKES.get(sign, sign) for sign in word)]
)
TEXTS = st.lists(st.builds(lambda write, word: write(word), WRITTEN, st.sampled_from(SAID.split())), max_size=12)
DAYS = st.sampled_from([None, TODAY, datetime.date.min, datetime.date.max])


@example("this week, next week, last month, next year, 31/12", datetime.date.max)
@example("this week, last week, last month, last year, 1/1", datetime.date.min)
@given(st.one_of(st.text(max_size=200), TEXTS.map(" ".join), TEXTS.map("".join)), DAYS)
def test_any_text_can_be_read(text, today):
    assert isinstance(units.mentions(text), list)
    assert all(0 <= item.start < item.end for item in dates_in(text, today))
    for value in (text[:3], text):
        find(value, "5 minutes past two", today)
        date_follows(value, text, [text], today)
        clock_follows(value, text, [text])
    for unit in ("hour", "minute", "day", "month", "year"):
        assert all(isinstance(part, int) for part in parts_in(text, unit, today))
    date_follows("2026-05-03", text, [text], today)
    clock_follows("10:30", text, [text])
    number_follows(7, text, "guests", 0, 9)
    for value in ("2026-05-03", "10:30", 7, "Lima", "EUR", True):
        find(value, text, TODAY, ("x",), units.unit("km"))
        find(value, text, None, ("x",))
