import datetime

import pytest

from tests.samples import good_dialogs
from toolace_ray.dlv.provenance import trace
from toolace_ray.dlv.values import find, number_words, numbers

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
        ("2024-03-04T15:30:00Z", "on March 4", None),
        ("2024-03-04T15:30:00Z", "on March 4th at 3:30 pm", "normalised"),
        (10**320, "9" * 400, None),
        ("", "anything", None),
        (None, "anything", None),
    ],
)
def test_values_are_found_as_people_say_them(value, text, how):
    assert find(value, text, TODAY, ("breakfast",)) == how


def test_numbers_ignore_dates_times_and_codes():
    assert numbers("On 2026-05-02 at 14:30 train TR-1020 takes 3 hours and costs 1,250.50") == [3.0, 1250.5]


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
