import pytest

from tests.material import WEATHER
from toolace_ray.prompts import prompt
from toolace_ray.tss.sense import off_topic, related, whole

TOPIC = ["Weather", "tell forecast tells the forecast of a day"]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"name": "ping_server"}, "off_topic"),
        ({"name": "forecasts"}, None),
        ({"description": "Give the city and the day, please."}, "off_topic"),
        (
            {"parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Lima", '"],']}}}},
            "scraps",
        ),
        ({"description": "Forecast and find a restaurant by city and kind of food, and more."}, "leaked"),
        ({"description": "Tell the weather forecast of a 城市 for one day."}, "language"),
        ({"returns": {"type": "object", "properties": {"x": {"description": "Прогноз погоды"}}}}, "language"),
    ],
)
def test_what_is_not_about_its_topic_is_refused(changes, rule):
    found = off_topic(WEATHER.model_copy(update=changes), TOPIC, ["tell forecast"], ("define",))
    assert (found.rule if found else None) == rule


def test_a_foreign_topic_may_be_answered_in_its_own_script():
    api = WEATHER.model_copy(update={"description": "Прогноз погоды для города на день."})
    assert off_topic(api, [*TOPIC, "прогноз погоды"], ["прогноз"], ()) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Short and whole.", "Short and whole."),
        ("First sentence. And one that was cut in the mid", "First sentence."),
        ("Gives a form. It needs the tense (", "Gives a form."),
        ("Words without an end, such as (this one he", "Words without an end, such as (this one"),
    ],
)
def test_what_the_decoder_cut_loses_its_torn_end(text, kept):
    assert whole(text, len(text) if "Short" not in text else 100) == kept


def test_nothing_left_is_an_error():
    with pytest.raises(ValueError, match="cut off"):
        whole("x" * 90, 90)


def test_words_in_common():
    assert related("cities to send to", "city_name of the city")
    assert not related("deck title", "questions to be asked")
    assert related("", "anything")


def test_prompts_know_their_own_examples():
    assert prompt("define").shares("a city and Find a restaurant by city and kind of food")
    assert prompt("define").shares("Find a parcel by its number") is None
