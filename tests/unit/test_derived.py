"""What a stranger's assistant may conclude from what was said, and what not: each case with its wrong twin."""

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.verification import verify_row
from toolace_ray.dlv.derived import (
    answer_number_follows,
    clock_follows,
    date_follows,
    number_follows,
    number_in_other_unit,
)
from toolace_ray.dlv.layer import rejects

TODAY = datetime.date(2026, 5, 1)  # a Friday
CONFIG = VerifyConfig()


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("a room from May 20 for three nights", "2026-05-23", "2026-05-24"),
        ("from next Monday to Thursday", "2026-05-07", "2026-05-09"),
        ("leaving on May 10 and back the day after", "2026-05-11", "2026-05-13"),
        ("due at the end of the month", "2026-05-31", "2026-05-20"),
        ("the whole of next month, please", "2026-06-30", "2026-06-15"),
        ("the dentist on 25/05", "2026-05-25", "2026-05-26"),
        ("from May 4 for two weeks", "2026-05-18", "2026-05-16"),
        ("I swam on Monday", "2026-04-27", "2026-04-28"),
        ("in a fortnight", "2026-05-15", "2026-05-14"),
        ("two days from now", "2026-05-03", "2026-05-04"),
        ("the day after tomorrow", "2026-05-03", "2026-05-02"),
    ],
)
def test_dates_are_counted_on_from_those_that_are_said(text, right, wrong):
    assert date_follows(right, text, (), TODAY)
    assert not date_follows(wrong, text, (), TODAY)


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("wake me at 7", "07:00", "08:10"),
        ("dinner at 7:30 tonight", "19:30", "20:45"),
        ("lunch at half past twelve, one hour", "13:30", "14:15"),
        ("a 45-minute call on Friday at 9", "09:45", "10:20"),
        ("from 2 to 3 in the afternoon", "15:00", "16:40"),
        ("at 7 pm", "19:00", "07:10"),
    ],
)
def test_times_are_read_with_a_half_left_out_and_counted_on(text, right, wrong):
    assert clock_follows(right, text)
    assert not clock_follows(wrong, text)
    assert date_follows(f"2026-05-04T{right}:00", f"{text}, on May 4", (), TODAY)
    assert not date_follows(f"2026-05-06T{right}:00", f"{text}, on May 4", (), TODAY)


@pytest.mark.parametrize(
    ("text", "name", "right", "wrong"),
    [
        ("for me and my wife plus our two kids", "adults", 2, 7),
        ("just me", "guests", 1, 3),
        ("a table for me and three friends", "party_size", 4, 6),
        ("I earn $4,200 a month; as a yearly salary?", "amount", 50400, 48000),
        ("a timer of 1h30", "seconds", 5400, 4500),
        ("three quarters of an hour", "duration_minutes", 45, 50),
        ("dim it to a third", "brightness", 33, 40),
        ("full brightness", "brightness", 100, 90),
        ("two degrees warmer; it is at 19 now", "temperature", 21, 24),
        ("over thirty years at four and a half percent", "rate", 0.045, 0.05),
        ("5 miles", "distance_km", 8.05, 9.1),
        ("books from the eighties", "year_to", 1989, 1995),
        ("a loss of $1000", "gain", -1000, -900),
        ("€1.250,50", "amount", 1250.5, 125.5),
        ("compounded monthly", "periods", 12, 6),
        ("100µF", "capacitance", 0.0001, 0.001),
        ("an hour and a quarter", "duration_minutes", 75, 70),
        ("the past hour", "minutes", 60, 45),
        ("roll 3d6", "sides", 6, 8),
        ("close the blinds", "position", 0, 40),
        ("16x20 inches", "height", 20, 25),
    ],
)
def test_numbers_are_worked_out_of_those_that_are_said(text, name, right, wrong):
    assert number_follows(right, text, name, None, None)
    assert not number_follows(wrong, text, name, None, None)


@pytest.mark.parametrize(
    ("number", "shown", "known", "right"),
    [
        (1080, "1080", [540, 2], True),
        (204, "204", [612, 3], True),
        (346.8, "346.8", [1040.4, 3], True),
        (77, "77%", [402.3, 227.52], True),
        (1300, "1300", [1284], True),
        (247220, "247220", [547220.13, 300000], True),
        (1081, "1081", [540, 2], False),
        (25, "25", [19, 12], False),
        (45, "45", [15, 3], False),  # a product of small numbers hits anything
        (64, "64%", [402.3, 227.52], False),
    ],
)
def test_numbers_of_an_answer_are_worked_out_of_results(number, shown, known, right):
    assert answer_number_follows(number, shown, known, ()) is right


@pytest.mark.parametrize(
    ("number", "shown", "said", "known", "right"),
    [
        (13, "13", "It takes 13 h 5 min.", [785], True),
        (5, "5", "It takes 13 h 5 min.", [785], True),
        (22, "22", "It takes 1 h 22 min.", [4920], True),
        (23.4, "23.4", "It is 23.4 km away.", [23400], True),
        (9.13, "9.13", "It has 9.13 million people.", [9132383], True),
        (7, "7", "It takes 13 h 7 min.", [785], False),
        (24.4, "24.4", "It is 24.4 km away.", [23400], False),
        (9.13, "9.13", "It has 9.13 of them.", [9132383], False),
    ],
)
def test_numbers_are_retold_in_other_units(number, shown, said, known, right):
    assert number_in_other_unit(number, shown, said, known) is right


@given(st.text(max_size=300), st.floats(allow_nan=True, allow_infinity=True), st.text(max_size=40))
def test_nothing_that_is_said_breaks_the_reading(text, value, other):
    number_follows(value, text, "amount", None, None)
    date_follows(other, text, (text,), TODAY)
    date_follows("2026-05-04T10:00", text, (other,), None)
    clock_follows("10:30", text, (other,))


def function(name, required, **properties):
    schema = {"type": "object", "properties": properties, "required": required.split()}
    return {
        "type": "function",
        "function": {"name": name, "description": f"{name.replace('_', ' ')}.", "parameters": schema},
    }


def text(description):
    return {"type": "string", "description": description}


HOTEL = function("book_hotel", "hotel check_in check_out", hotel=text("Hotel"), check_in=text("Day"), check_out=text("Day"),
                 guests={"type": "integer", "description": "Number of guests"})  # fmt: skip
FLIGHT = function(
    "find_flights", "origin destination date", origin=text("From"), destination=text("To"), date=text("Day")
)
DICE = function("roll_dice", "sides", sides={"type": "integer", "description": "Sides"})
MAIL = function("send_mail", "to text", to=text("Receiver"), text=text("Text"))
STOCK = function("get_stock", "shop item", shop=text("Shop"), item=text("Item"))


def verdicts(tools, *turns):
    """Rules that reject a row of OpenAI's format: a text is the user's and the assistant's in turn, a list calls and results."""
    messages = [{"role": "system", "content": "Today is Friday, 2026-05-01."}]
    role = "user"
    for number, turn in enumerate(turns):
        if isinstance(turn, str):
            messages.append({"role": role, "content": turn})
            role = "assistant" if role == "user" else "user"
            continue
        calls = [(f"c{number}.{i}", *item) for i, item in enumerate(turn)]
        messages.append({"role": "assistant", "content": None, "tool_calls": [
            {"id": call, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for call, name, arguments, _ in calls
        ]})  # fmt: skip
        messages += [
            {
                "role": "tool",
                "tool_call_id": call,
                "name": name,
                "content": result if isinstance(result, str) else json.dumps(result),
            }
            for call, name, _, result in calls
        ]
    row = json.dumps({"tools": tools, "messages": messages})
    return {verdict.rule for verdict in rejects(verify_row(row, "openai", CONFIG).verdicts)}


def stay(request, **arguments):
    return verdicts(
        [HOTEL], request, [("book_hotel", arguments, {"reference": "HX-4821"})], "Your stay is booked: HX-4821."
    )


def test_a_stay_is_counted_in_nights_and_people():
    said = "Book the Grand Plaza from May 20 for three nights, for my parents and me."
    right = {"hotel": "Grand Plaza", "check_in": "2026-05-20", "check_out": "2026-05-23", "guests": 3}
    assert stay(said, **right) == set()
    assert stay(said, **{**right, "check_out": "2026-05-25"}) == {"argument_provenance"}
    assert stay(said, **{**right, "guests": 8}) == {"argument_provenance"}


@pytest.mark.parametrize(
    ("said", "origin", "right"),
    [
        ("Flights from Lima to Quito on May 3. Sorry, from Cusco.", "Lima", False),
        ("Flights from Lima to Quito on May 3. Hang on, Cusco is nearer, so from there.", "Lima", False),
        ("Flights from Lima to Quito on May 3. Replace Lima with Cusco.", "Lima", False),
        ("Flights from Lima to Quito on May 3. I'd rather leave from Cusco.", "Lima", False),
        ("Flights from Lima, er, Cusco to Quito on May 3.", "Lima", False),
        ("Flights from Lima to Quito on May 3. Replace Lima with Cusco.", "Cusco", True),
        ("Flights from Lima to Quito on May 3. Sorry for the hurry.", "Lima", True),
        ("Flights from Lima to Quito on May 3. Actually, do I need a visa for it?", "Lima", True),
        ("Flights from Lima to Quito on May 1. Make that May 3.", "Lima", True),
        ("Flights from Lima to Quito on May 1. The date should be May 3 instead.", "Lima", True),
    ],
)
def test_a_correction_holds_for_what_it_names(said, origin, right):
    call = (
        "find_flights",
        {"origin": origin, "destination": "Quito", "date": "2026-05-03"},
        {"flights": [{"no": "LA 12"}]},
    )
    assert ("corrected_value" in verdicts([FLIGHT], said, [call], "There is LA 12.")) is not right


@pytest.mark.parametrize("said", ["Lima → Quito, May 3", "Lima to Quito on May 3", "out of Lima into Quito on May 3"])
def test_an_arrow_tells_which_is_which(said):
    for origin, destination, right in (("Lima", "Quito", True), ("Quito", "Lima", False)):
        call = ("find_flights", {"origin": origin, "destination": destination, "date": "2026-05-03"}, {"no": "LA 12"})
        assert ("swapped_values" in verdicts([FLIGHT], said, [call], "There is LA 12.")) is not right


def test_a_die_is_rolled_twice_and_a_flight_searched_once():
    roll = [("roll_dice", {"sides": 6}, {"value": 3}), ("roll_dice", {"sides": 6}, {"value": 5})]
    assert verdicts([DICE], "Roll two dice with 6 sides.", roll, "A 3 and a 5, that makes 8.") == set()
    search = ("find_flights", {"origin": "Lima", "destination": "Quito", "date": "2026-05-03"}, {"no": "LA 12"})
    told = verdicts([FLIGHT], "Lima to Quito on May 3, please.", [search, search], "There is LA 12.")
    assert told == {"duplicate_calls"}


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("I've sent your message to Ana.", False),
        ("Done! Your message was sent to Ana.", False),
        ("What shall I send to Ana?", True),
        ("I can send it once I know the text.", True),
    ],
)
def test_nothing_is_claimed_that_was_not_called(said, right):
    assert ("claimed_call" in verdicts([MAIL], "Write to Ana, please.", said)) is not right


@pytest.mark.parametrize(
    ("result", "said", "right"),
    [
        ({"in_stock": 0}, "The blue kettle is sold out at ST-4.", True),
        ({"in_stock": 0}, "The blue kettle is there at ST-4.", False),
        ("Error: upstream timeout", "The service timed out, please try again.", True),
        ("Error: upstream timeout", "The blue kettle is there at ST-4.", False),
        ({"code": 503, "message": "busy"}, "The shop's system is busy right now.", True),
        ({"code": 503, "message": "none"}, "The blue kettle is there at ST-4.", False),
        ({"in_stock": 14}, "There are fourteen of them at ST-4.", True),
        ({"in_stock": 14}, "There are seventeen of them at ST-4, of 14.", False),
    ],
)
def test_an_answer_says_what_the_result_says(result, said, right):
    call = ("get_stock", {"shop": "ST-4", "item": "blue kettle"}, result)
    assert ("answer_grounded" in verdicts([STOCK], "Is the blue kettle at ST-4?", [call], said)) is not right


@pytest.mark.parametrize(
    "said",
    [
        'Action: get_stock\nAction Input: {"shop": "ST-4"}',
        '{"tool": "get_stock", "args": {"shop": "ST-4"}}',
        "get_stock: shop=ST-4, item=kettle.",
        '<function=get_stock>{"shop": "ST-4"}',
    ],
)
def test_a_call_in_words_is_no_answer(said):
    assert "call_syntax" in verdicts([STOCK], "Is the blue kettle at ST-4?", said)


PERSON = function("update_user", "user phone", user={"type": "integer", "description": "User"}, phone=text("E.164"))
BODY = function("bmi", "weight_kg height_cm", weight_kg={"type": "number", "description": "Weight in kg"},
                height_cm={"type": "number", "description": "Height in cm"})  # fmt: skip
SQL = function("run_sql", "sql", sql=text("SQL query"))
REMIND = function("set_reminder", "text at", text=text("Text"), at=text("Moment"))
PRICE = function("get_price", "item", item=text("Item"))


@pytest.mark.parametrize(
    ("tool", "said", "right", "wrong", "rule"),
    [
        (PERSON, "User 55: the phone is (202) 555-0132 now", {"user": 55, "phone": "+12025550132"},
         {"user": 55, "phone": "+12025550199"}, "argument_provenance"),
        (BODY, "My BMI at 70 kg and 175 cm?", {"weight_kg": 70, "height_cm": 175}, {"weight_kg": 175, "height_cm": 70}, "units_kept"),
        (SQL, "How many orders are there?", {"sql": "SELECT COUNT(*) FROM orders"}, {"sql": "[Your Query]"}, "placeholder_values"),
        (REMIND, "Remind me on May 4 at 9 am to call Ana", {"text": "Call Ana", "at": "2026-05-04T09:00"},
         {"text": "Call Ana", "at": "2026-05-04T11:00"}, "argument_provenance"),
        (REMIND, "Remind me on May 4 at 9 am to call Ana", {"text": "Call Ana", "at": "2026-05-04T09:00"},
         {"text": "Dear [Your Name], call Ana", "at": "2026-05-04T09:00"}, "placeholder_values"),
        (PRICE, "What does the red lamp cost?", {"item": "red lamp"}, {"item": "{{search.item}}"}, "placeholder_values"),
    ],
)  # fmt: skip
def test_arguments_and_their_wrong_twins(tool, said, right, wrong, rule):
    name = tool["function"]["name"]
    assert verdicts([tool], said, [(name, right, {"status": "ok"})], "That is done.") == set()
    assert rule in verdicts([tool], said, [(name, wrong, {"status": "ok"})], "That is done.")


def test_a_date_is_no_code_though_the_function_schedules():
    tool = function("schedule_visit", "day", day=text("Day where the visit takes place"))
    for day, told in (("2026-05-04", set()), ("2026-05-09", {"argument_provenance"})):
        call = ("schedule_visit", {"day": day}, {"status": "ok"})
        assert verdicts([tool], "A visit on May 4, please.", [call], "That is done.") == told


def test_a_number_is_no_other_one_without_its_point():
    tool = function("pay", "sum", sum=text("Sum"))
    for sum, told in (("984517", {"argument_provenance"}), ("9845.17", set())):
        assert (
            verdicts([tool], "Pay 9845.17, please.", [("pay", {"sum": sum}, {"status": "ok"})], "That is done.") == told
        )


@pytest.mark.parametrize(
    ("said", "right"),
    [("It costs €40.", True), ("It costs 40.", True), ("It costs $40.", False), ("It costs 40 pounds.", False)],
)
def test_an_answer_keeps_the_currency_of_its_result(said, right):
    call = ("get_price", {"item": "red lamp"}, {"price": 40, "currency": "EUR"})
    assert ("answer_grounded" in verdicts([PRICE], "What does the red lamp cost?", [call], said)) is not right


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Sure, let me check that for you.", False),
        ("I'll look up the price of the red lamp. One moment...", False),
        ("Let me know which lamp you mean.", True),
        ("I will need the lamp's name to look it up.", True),
    ],
)
def test_a_dialog_does_not_end_with_a_promise(said, right):
    assert ("claimed_call" in verdicts([PRICE], "What does it cost?", said)) is not right
