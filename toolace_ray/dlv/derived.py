"""What follows from what was said, in dialogs that others made: sums worked out, days counted on, people counted.

A dialog that we play says each value as its plan has it. A stranger's assistant also concludes: "three nights from the 20th" is a
check-out on the 23rd. What can be worked out here is taken for concluded rather than invented. Pure functions; English.
"""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Collection, Iterator

from toolace_ray.text import memo, units
from toolace_ray.text.dates import Day, Mention, clocks_in, dates_in
from toolace_ray.text.numerals import number_words, numbers, other_numbers, word_numbers

_MOST = 48  # numbers that are combined with one another
_DAY = datetime.timedelta(days=1)
_NUMBER_WORD = "|".join(["an?", "half an?", "a couple of", *filter(None, map(number_words, range(1, 32)))])
_DURATION = re.compile(
    rf"\b(?P<count>\d{{1,4}}|{_NUMBER_WORD})[ -](?:more |full |whole |business |working |long )?(?P<unit>night|day|weekend|week|fortnight|month|year)s?\b",
    re.IGNORECASE,
)
_DAYS = {"night": 1, "day": 1, "weekend": 2, "week": 7, "fortnight": 14}
_NEIGHBOUR = re.compile(r"\b(?:the )?(?:(?P<next>next|following) day|day (?P<way>before|after)|(?P<eve>previous day|night before|eve))\b", re.IGNORECASE)  # fmt: skip
_WEEKDAY = re.compile(rf"\b({'|'.join(calendar.day_name)})\b", re.IGNORECASE)
_VAGUE = re.compile(
    r"\b(?:easter|thanksgiving|christmas|xmas|new year|halloween|valentine|ramadan|diwali|hanukkah|carnival|independence day|labou?r day|"
    r"memorial day|holidays?|birthday|spring|summer|autumn|winter|quarter|q[1-4]|semester|decade|century|early|mid|late|soon|recent(?:ly)?|"
    r"latest|upcoming|overnight|fiscal|season|(?:first|second|third|fourth|last) (?:full )?week|week of|(?:past|last|next) (?:few|couple))\b|\bthe (?:\d0|[a-z]+ties)s?\b|['’]\d0s\b",
    re.IGNORECASE,
)
_AHEAD = re.compile(r"\b(?:next|this|coming|tomorrow|will|book|schedule|forecast|remind)\b", re.IGNORECASE)
_LATE = re.compile(r"\b(?:tonight|evening|afternoon|night|dinner|supper|p\.?m\.?|lunch|after work)\b", re.IGNORECASE)
_END = re.compile(r"\b(?P<edge>end|beginning|start|middle) of (?:the |this |next )?(?P<span>week|month|year)\b|\b(?P<all>this|next|last|whole|all|in) (?P<span2>week|month|year)\b", re.IGNORECASE)  # fmt: skip
_SHORT_DATE = re.compile(r"(?<![\d/.:-])(\d{1,2})[/.](\d{1,2})(?![\d/:-]|\.\d)")
_BARE_CLOCK = re.compile(
    rf"\b(?:at|by|around|about|from|to|till|until|before|after|and|between|[-–]) ?(?P<hour>\d{{1,2}}|{'|'.join(filter(None, map(number_words, range(1, 13))))})\b(?![:.,]?\d|\s?%|\s?[ap]\.?m\b)",
    re.IGNORECASE,
)
_SPAN = re.compile(
    rf"\b(?P<count>\d{{1,3}}(?:\.\d)?|{_NUMBER_WORD}|(?:a |three )?quarters?(?: of an)?|(?=hour and a))[ -]?(?P<unit>hours?|hrs?|h|minutes?|mins?)(?P<rest> ?\d{{2}}| and a (?:half|quarter)| and three quarters)?\b",
    re.IGNORECASE,
)
_PEOPLE = re.compile(
    r"\b(?P<self>me|myself|i|we|us)\b|\b(?:my|our|his|her|their)(?: \w+)? (?P<two>parents|grandparents|twins)\b|\b(?:my|our) (?:\w+ )?(?P<one>wife|husband|partner|"
    r"girlfriend|boyfriend|fianc[eé]e?|spouse|mother|mom|mum|father|dad|son|daughter|kid|child|baby|brother|sister|friend|colleague|boss|buddy)\b|"
    rf"\b(?:the )?(?P<many>\d{{1,2}}|{_NUMBER_WORD}) (?:other |more |of (?:my )?|close )?(?:friends|kids|children|adults|people|persons|colleagues|sons|daughters|"
    r"brothers|sisters|guests|guys|girls|boys|us|others|toddlers|teenagers|students|buddies)\b|\b(?P<alone>just me|alone|solo|on my own|by myself|single)\b"
    r"|\b(?P<pair>couple|both of us|honeymoon)\b",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"adult|guest|people|person|party|passenger|traveller|traveler|seat|ticket|head|diner|child|kid|attendee|occupan|size|room", re.IGNORECASE)  # fmt: skip
_LEVELS = {
    "full": 1.0, "maximum": 1.0, "max": 1.0, "fully": 1.0, "all the way": 1.0, "highest": 1.0, "completely": 1.0, "loudest": 1.0,
    "brightest": 1.0, "half": 0.5, "halfway": 0.5, "halve": 0.5, "middle": 0.5, "third": 1 / 3, "two thirds": 2 / 3, "quarter": 0.25,
    "three quarters": 0.75, "close": 0.0, "closed": 0.0, "shut": 0.0, "down": 0.0, "open": 1.0, "opened": 1.0, "up": 1.0,
    "minimum": 0.0, "lowest": 0.0, "off": 0.0, "mute": 0.0, "silent": 0.0, "none": 0.0,
}  # fmt: skip
# What a word makes of the numbers beside it: "$4,200 a month" is 50,400 a year.
_FACTORS = {
    r"months?|monthly|years?|yearly|annual(?:ly)?": (12,), r"weeks?|weekly": (7, 52), r"days?|daily": (24, 30, 365),
    r"hours?|hourly|h|hrs?|minutes?|mins?": (60, 3600), r"percent|per cent": (100,), r"half|halve|double|twice|pairs?|couple": (2,),
    r"thirds?|triple": (3,), r"quarters?|fourth": (4,), r"dozens?": (12,), r"decades?": (10,), r"lakhs?": (100_000,), r"crores?": (10_000_000,),
    r"k|km|kg|kilo\w*|thousand": (1000,), r"m|million|mn": (1_000_000,), r"billion|bn": (1_000_000_000,), r"cents?|pence|cm": (100,),
}  # fmt: skip


_DECADES = ["twenti", "thirti", "forti", "fifti", "sixti", "seventi", "eighti", "nineti"]


_PREFIXES = {"m": 1e-3, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12, "k": 1e3, "M": 1e6, "G": 1e9}
_OF_ONE = {"minute": [1.0, 60.0], "hour": [1.0, 60.0, 3600.0], "day": [1.0, 24.0, 1440.0, 86400.0], "week": [1.0, 7.0, 168.0], "month": [1.0, 30.0],
           "year": [1.0, 12.0, 52.0, 365.0]}  # fmt: skip
_OFTEN = {
    r"hourly|every hour|per hour|an hour": (1, 24, 60), r"daily|every day|per day": (1, 365, 24), r"weekly|every week|next week|this week|a week|per week": (1, 7, 52),
    r"monthly|every month|per month|next month|a month": (1, 12, 30, 31), r"quarterly": (4,), r"half-yearly|semi-?annual\w*|biannual\w*": (2,),
    r"annual\w*|yearly|per year|every year|a year": (1, 12, 365),
}  # fmt: skip
# What two numbers of a request are added, taken away or multiplied by.
_ARITHMETIC = re.compile(
    r"\b(?:more|less|fewer|plus|minus|times|each|per|a piece|apiece|total|together|altogether|another|additional|extra|increase\w*|decrease\w*|raise|lower|reduce|"
    r"warmer|colder|cooler|hotter|louder|brighter|darker|up by|down by|earlier|later|longer|shorter|older|younger|every|packs?|boxes|double|twice|average|sum|"
    r"difference|combined|in all|left|remaining|ago|\d+ ?x)\b|\b\d+ ?[-+*/x×] ?\d",
    re.IGNORECASE,
)


def _close(left: float, right: float) -> bool:
    return abs(left - right) <= 1e-6 * max(1.0, abs(right))


@memo.of_texts(1024)
def numbers_in_any_writing(text: str) -> tuple[float, ...]:
    """The numbers of a text in any writing, decimal commas included, the latest first; at most as many as are worth combining."""
    values = [*reversed(numbers(text)), *other_numbers(text), *(item.value for item in units.quantities(text))]
    for whole, part in re.findall(r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+)(?:,(\d{1,2}))?(?!\d)", text):  # 1.250,50
        values.append(float(whole.replace(".", "") + (f".{part}" if part else "")))
    if re.search(r"\bquarter of (?:a|an) ", text, re.IGNORECASE):
        values.append(0.25)
    values += [float(first) + 0.5 for first in re.findall(r"\b(\d{1,4})(?: and a half| ?½)", text)]
    for word, rest in re.findall(r"\b([a-z]+)(?:-[a-z]+)? and a (half|quarter)\b", text.lower()):
        values += [value + (0.5 if rest == "half" else 0.25) for value in word_numbers(word)]
    values += [float(part) for pair in re.findall(r"\b(\d{1,5}) ?[x×] ?(\d{1,5})\b", text) for part in pair]
    values += [
        float(digits) * _PREFIXES[prefix]
        for digits, prefix in re.findall(
            r"\b(\d{1,6}(?:\.\d{1,6})?) ?([mµμnpkMG])(?:[FHVAWgLsJCN]|Hz|Pa|Ω|ohm|eV)\b", text
        )
    ]
    values += [
        float(part) for pair in re.findall(r"\b(\d{0,3})[dD](\d{1,4})\b", text) for part in pair if part
    ]  # dice: 3d6
    for unit in re.findall(r"\b(?:past|last|next|every|per|an?|one) (minute|hour|day|week|month|year)\b", text.lower()):
        values += _OF_ONE[unit]
    for minutes in _minutes(text):
        values += [float(minutes), 60.0 * minutes]
    values += [round(float(item) * 0.45359237, 2) for item in re.findall(r"\b(\d{2,3}) pounds\b", text)]
    for name, digits in re.findall(
        r"\b(?:the (twenti|thirti|forti|fifti|sixti|seventi|eighti|nineti)es|(?:19|20|['’]|\b)(\d0)['’]?s)\b", text
    ):
        decade = 10 * _DECADES.index(name) + 20 if name else int(digits)
        values += [float(century + decade + more) for century in (1900, 2000) for more in (0, 9)]
    return tuple(dict.fromkeys(values))[:_MOST]


def number_follows(value: float, text: str, name: str, low: float | None, high: float | None) -> bool:
    """True for a number that can be worked out of what the users said.

    Args:
        text: what was said, all of it.
        name: the parameter's.
        low, high: its bounds in the schema, if it has any.
    """
    if not abs(value) < 1e15:
        return False
    stated, lowered = numbers_in_any_writing(text), text.lower()
    if any(_close(value, item) for item in stated):
        return True
    if value == 0 and re.search(r"\b(?:zero|nothing|no)\b", lowered):
        return True
    if (
        value < 0
        and any(_close(-value, item) for item in stated)
        and re.search(r"-\s?\d|[\d°] ?[WS]\b|loss|minus|negative|below|debt|withdr|south|west", text)
    ):
        return True
    if any(value in counts and re.search(rf"\b(?:{words})\b", lowered) for words, counts in _OFTEN.items()):
        return True
    if _COUNTED.search(name) and value in _people(text):
        return True
    for word, share in _LEVELS.items():
        if re.search(rf"\b{word}\b", lowered):
            top, bottom = 100.0 if high is None else high, 0.0 if low is None else low
            if abs(bottom + share * (top - bottom) - value) <= 0.01 * abs(top - bottom) or _close(share, value):
                return True
    for words, factors in _FACTORS.items():
        if re.search(rf"(?<![a-z])(?:{words})\b" + (r"|%" if "percent" in words else ""), lowered):
            for factor in factors:
                if any(_close(value, item * factor) or _close(value, item / factor) for item in stated):
                    return True
    operands = stated[:12] if _ARITHMETIC.search(text) else ()
    if any(
        _close(value, a + b) or _close(value, abs(a - b)) or _close(value, a * b)
        for i, a in enumerate(operands)
        for b in operands[i:]
    ):
        return True  # fmt: skip
    quantities = units.quantities(text)
    return any(
        (other := units.converted(item, target)) is not None and units.same(other, value)
        for item in quantities
        for target in units.of_dimension(item.unit.dimension)
    )


def _people(text: str) -> set[int]:
    """How many people a request may speak of: those it names, with and without the speaker."""
    groups: dict[str, int] = {}
    for match in _PEOPLE.finditer(text):
        if match["alone"]:
            return {1}
        if match["pair"]:
            groups["pair"] = 2
        elif match["self"]:
            groups["self"] = 1
        elif match["many"]:
            count = match["many"].lower()
            number = (
                int(count) if count.isdigit() else 1 if count in ("a", "an") else max(word_numbers(count), default=2)
            )
            groups[match.group().lower()] = number
        else:
            groups[match.group().lower()] = 2 if match["two"] else 1
    own = groups.pop("self", 0)
    others = sum(groups.values())
    return {1, others, others + own, others + 1, *groups.values()} - {0} if groups or own else set()


def date_follows(value: str, text: str, others: Collection[str], today: Day) -> bool:
    """True for a date, or a moment "2026-03-12T13:30", that can be counted from the dates and spans that are said.

    Args:
        text: what was said, all of it.
        others: the other values of the call and those of earlier calls and results, from which a span may be counted too.
        today: None where the dialog has no date: then only what is counted from a date that is said.
    """
    match = re.fullmatch(
        r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}:\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?", value
    )
    if match is None:
        dates = {item.date for item in dates_in(value, today) if item.date}
        return any(_day_follows(date, text, others, today) for date in dates)
    try:
        date = datetime.date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return False
    return _day_follows(date, text, others, today) and (match[4] is None or clock_follows(match[4], text, others))


def _day_follows(date: datetime.date, text: str, others: Collection[str], today: Day) -> bool:
    stated = {item.date for item in _mentions(text, today) if item.date}
    if date in stated or any(item.date is None for item in _mentions(text, today)):
        return True
    if today is not None and (date - today).days in (0, 1) and _SPAN.search(text):
        return True  # in so many hours, past midnight
    if _VAGUE.search(text) and (today is None or abs((date - today).days) < 3700 or date.year < today.year):
        return True
    bases = stated | {item.date for other in others for item in dates_in(other[:40], None) if item.date} - {date}
    # "In two weeks" is a date of its own, which is said or not; only a span beside a date is counted on from it.
    mentioned_at = [(item.start, item.end) for item in _mentions(text, today) if not text[: item.end].endswith("later")]
    spans = {
        span
        for match in _DURATION.finditer(text)
        if not any(start <= match.start() < end for start, end in mentioned_at)
        for span in _days(match["count"], match["unit"])
    }
    for base in bases | ({today} if spans and today else set()):
        if any(abs((date - base).days) in days for days in spans):
            return True
    neighbours = (item for item in _NEIGHBOUR.finditer(text) if not any(a <= item.start() < b for a, b in mentioned_at))
    if any(neighbours) and any(abs((date - base).days) == 1 for base in bases):
        return True
    if calendar.day_name[date.weekday()].lower() in {match[1].lower() for match in _WEEKDAY.finditer(text)}:
        if any(0 < (date - base).days < 7 for base in stated):
            return True
        if today is not None and 0 < (today - date).days <= 7 and not _AHEAD.search(text):
            return True  # "I swam on Monday"
    return today is not None and any(_edge(date, match, today) for match in _END.finditer(text))


def _days(count: str, unit: str) -> Iterator[range | tuple[int, ...]]:
    """How many days a span may have."""
    count, unit = count.lower(), unit.lower()
    if count.isdigit():
        number = int(count)
    elif count in ("a", "an", "half a", "half an"):
        number = 1
    else:
        number = 2 if count.startswith("a couple") else max(word_numbers(count), default=0)
    if unit in _DAYS:
        days = number * _DAYS[unit]
        yield (1, 2, 3) if unit == "weekend" else (days, days - 1) if unit == "day" and number > 1 else (days,)
    else:
        days = number * (365 if unit == "year" else 30)
        yield range(days - number * 2, days + number * 2)


def _edge(date: datetime.date, match: re.Match[str], today: datetime.date) -> bool:
    """True for the first or last day of a span that is named, the middle of it, any of it where it is meant as a whole."""
    words = match.group().lower()
    span = (match["span"] or match["span2"]).lower()
    try:
        first, last = _named_span(span, 1 if "next" in words else -1 if "last" in words else 0, today)
    except (ValueError, OverflowError):  # before the first day or after the last one that there is
        return False
    if match["edge"] is None:
        return date in (first, last)
    edge = match["edge"].lower()
    if edge == "middle":
        return first < date < last
    return (last - date).days in range(3) if edge == "end" else (date - first).days in range(3)


def _named_span(span: str, step: int, today: datetime.date) -> tuple[datetime.date, datetime.date]:
    """The first and the last day of the week, month or year that lies `step` from today's. Raises ValueError or OverflowError."""
    if span == "week":
        first = today - today.weekday() * _DAY + 7 * step * _DAY
        return first, first + 6 * _DAY
    if span == "month":
        month = today.year * 12 + today.month - 1 + step
        first = datetime.date(month // 12, month % 12 + 1, 1)
        return first, first.replace(day=calendar.monthrange(first.year, first.month)[1])
    return datetime.date(today.year + step, 1, 1), datetime.date(today.year + step, 12, 31)


def _mentions(text: str, today: Day) -> list[Mention]:
    """The dates of a text, days without a year ("25/03") among them."""
    mentions = list(dates_in(text, today))
    for match in _SHORT_DATE.finditer(text):
        for month, day in ((int(match[1]), int(match[2])), (int(match[2]), int(match[1]))):
            for year in range(max(today.year - 1, 1), min(today.year + 2, 10_000)) if today else ():
                if 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]:
                    mentions.append(Mention(datetime.date(year, month, day), *match.span()))
    return mentions


def clock_follows(value: str, text: str, others: Collection[str] = ()) -> bool:
    """True for a time "HH:MM" that is said with half of it left out ("at 7"), or is a span after one that is said or passed on."""
    wanted = clocks_in(value)
    if not wanted:
        return False
    stated = _clocks(text)
    if wanted & stated or re.search(r"\bsame (?:time|hour)\b|\bas usual\b", text, re.IGNORECASE):
        return True
    bare = re.findall(r"(?<![\d.:/-])(\d{1,2})(?![\d.:/-]|\s?[ap]\.?m\b)", text, re.IGNORECASE)
    if _LATE.search(text) and any((int(hour) + 12, 0) in wanted for hour in bare):
        return True  # "7 or, if that's full, 8:30 in the evening"
    spans = set(_minutes(text)) or {30, 60}  # a meeting without its length has one of these in most calendars
    bases = stated | {clock for other in others for clock in clocks_in(other[-25:].replace("T", " "))}
    starts = {hour * 60 + minute for hour, minute in bases}
    ends = {hour * 60 + minute for hour, minute in wanted}
    return any((end - begin) % 1440 in spans or (begin - end) % 1440 in spans for begin in starts for end in ends)


def _clocks(text: str) -> set[tuple[int, int]]:
    """The times that a text may mean: "at 7" is said of the morning and of the evening, "7:30 tonight" of the evening alone."""
    clocks = set(clocks_in(text))
    clocks |= {
        (int(hour), int(minute or 0)) for hour, minute in re.findall(r"\b(\d{1,2})(?:[.h]| ?Uhr ?)(\d{2})?\b", text)
    }
    if _LATE.search(text):
        clocks |= {(hour + 12, minute) for hour, minute in clocks if hour < 12}
    for match in _BARE_CLOCK.finditer(text):
        hour = int(match["hour"]) if match["hour"].isdigit() else max(word_numbers(match["hour"]), default=0)
        clocks |= {(hour, 0), (hour + 12, 0)}
    return {(hour % 24, minute) for hour, minute in clocks if hour <= 24 and minute < 60}


def _minutes(text: str) -> Iterator[int]:
    for match in _SPAN.finditer(text):
        count = match["count"].lower()
        whole = match["unit"].lower().startswith("h")
        if re.fullmatch(r"[\d.]+", count):
            number = float(count)
        elif "quarter" in count:
            number = 0.75 if count.startswith("three") else 0.25
        elif count.startswith("half"):
            number = 0.5
        else:
            number = 1.0 if count in ("", "a", "an") else float(max(word_numbers(count), default=2))
        rest = match["rest"] or ""
        yield round(number * (60 if whole else 1)) + (
            int(rest)
            if rest.strip().isdigit()
            else 45
            if "three" in rest
            else 15
            if "quarter" in rest
            else 30
            if rest
            else 0
        )


def number_in_other_unit(number: float, written: str, text: str, sources: Collection[float]) -> bool:
    """True for a number of an answer that is one of `sources` in another unit: "1 h 22 min" of 4920 seconds, "9.13 million"."""
    tolerance = 0.5 * 10 ** -len(written.partition(".")[2].rstrip(" %")) + 1e-9
    if _HOURS.search(text) and number == round(number):
        for item in sources:
            if item == round(item) and 0 < item < 1e7:
                whole = int(item)
                steps = (
                    whole // 60,
                    whole % 60,
                    whole // 3600,
                    whole % 3600 // 60,
                    round(whole / 60),
                    round(whole / 3600),
                    whole // 1440,
                )
                if int(number) in (*steps, round(whole % 3600 / 60)):
                    return True
        return any(abs(item * 60 - number) <= tolerance or abs(item % 1 * 60 - number) <= 0.5 for item in sources)
    scales = [scale for pattern, scale in _SCALES.items() if re.search(pattern, text, re.IGNORECASE)]
    return any(abs(item / scale - number) <= tolerance for item in sources for scale in scales)


_HOURS = re.compile(
    r"\d\s?(?:h|hrs?|hours?|min|mins|minutes?|horas?|minutos?|heures?|minuten?|stunden?|std|ore|minuti|uur)\b",
    re.IGNORECASE,
)
_SCALES = {r"\d\s?(?:k|km|kg|thousand|tausend|mil|mille|kilo\w*|l|litres?|kW)\b": 1e3, r"\d\s?(?:m|mn|million\w*|mio|millones|MB)\b": 1e6,
           r"\d\s?(?:bn|billion\w*|mrd|milliard\w*|GB)\b": 1e9, r"\d\s?(?:m|metres?|meters?)\b": 1e2}  # fmt: skip


def answer_number_follows(number: float, written: str, sources: Collection[float], counts: Collection[float]) -> bool:
    """True for a number in an answer that can be worked out of what the results and the request hold.

    Args:
        written: the number as it is written, whose decimal places set how far it may be rounded; with its percent sign.
        sources: numbers of results, calls and requests.
        counts: how many items the results have.
    """
    values = [abs(item) for item in sources][:_MOST]
    number = abs(number)
    places = len(written.partition(".")[2].rstrip(" %"))
    tolerance = 0.5 * 10**-places + 1e-9
    if number >= 100 and number == round(number):  # nearly 1,300; about 400 thousand
        digits = len(f"{number:.0f}".rstrip("0"))
        if digits < 3 and any(
            float(f"{item:.{digits}g}") == number or 0 <= item - number < 0.1 * number for item in values
        ):
            return True
    if any(abs(item - number) <= tolerance for item in (*values, *counts)):
        return True
    if written.endswith("%"):
        return any(
            b and (abs(100 * a / b - number) <= 0.51 or abs(100 * abs(a - b) / b - number) <= 0.51)
            for a in values
            for b in values
        )
    if any(
        abs(a + b - number) <= tolerance or abs(abs(a - b) - number) <= tolerance
        for i, a in enumerate(values)
        for b in values[i:]
    ):
        return True
    # Products and quotients of small numbers hit nearly any other: those count alone that can hardly be met by chance.
    if number < 100 and number == round(number):
        return False
    steps = [*range(2, 13), 24, 30, 52, 60, 100, 365, 1000, *counts]
    return any(
        abs(a * b - number) <= tolerance or (b and abs(a / b - number) <= tolerance)
        for a in values
        for b in (*steps, *values)
    )
