"""Dates and times as people say them, absolute or relative to a day. Pure functions over one text; English."""

from __future__ import annotations

import calendar
import datetime
import re
from typing import NamedTuple

from toolace_ray.text import memo
from toolace_ray.text.numerals import folded, word_numbers

Day = datetime.date | None
_DAY = datetime.timedelta(days=1)
_MONTHS = {
    name.lower(): number
    for number in range(1, 13)
    for name in (calendar.month_name[number], calendar.month_abbr[number])
}
_WEEKDAYS = {
    name.lower(): number for number in range(7) for name in (calendar.day_name[number], calendar.day_abbr[number])
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_WEEKDAY = "|".join(name.lower() for name in calendar.day_name)
_NUM = r"\d{1,2}(?:st|nd|rd|th)?"
_ABSOLUTE = re.compile(
    r"(?<!\d)(?P<iso>\d{4}(?:[-/.]|\s?年\s?)\d{1,2}(?:[-/.]|\s?月\s?)\d{1,2})(?!\d)"
    r"|(?<![\d./-])(?P<numeric>\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2}))(?![\d./-]{0,12}\d)"
    rf"|\b(?P<month>{_MONTH})\.? (?:the )?(?P<days>{_NUM}(?:(?:, | and | or | to |, and | ?[-–] ?| through | until )(?:the )?{_NUM}){{0,6}})\b(?!:\d)"
    r"(?:,? (?P<year>\d{4})\b)?"
    rf"|\b(?P<days2>{_NUM}(?:(?:, | and | or | to |, and | ?[-–] ?| through | until )(?:the )?{_NUM}){{0,6}}) (?:of )?(?P<month2>{_MONTH})\b\.?"
    r"(?:,? (?P<year2>\d{4})\b)?",
    re.IGNORECASE,
)
_RELATIVE = re.compile(
    r"\b(?:(?P<after>the )?day after tomorrow|(?P<before>the )?day before yesterday|(?P<today>today|tonight|now|this (?:morning|"
    r"afternoon|evening))|(?P<tomorrow>tomorrow|tmrw|tmr|2moro|tomorow|tommorrow)|(?P<yesterday>yesterday|last night)"
    r"|(?:in|within) (?P<number>\d+|\w+(?:-\w+)?|a couple of) (?P<unit>day|week|fortnight|month|year)s?(?:['’] time)?"
    r"|(?P<number2>\d+|\w+(?:-\w+)?|a couple of) (?P<unit2>day|week|fortnight|month|year)s? (?P<way>from (?:now|today)|from tomorrow|later|ago)"
    r"|the (?P<nth>\d{1,2})(?:st|nd|rd|th)(?! (?:of|floor|time|century))"
    rf"|(?:(?P<which>next|this|last|coming|on|this coming|past) )?(?P<weekday>{_WEEKDAY})"
    r"|(?P<which2>next|this|last) (?P<span>weekend|week|month|year))\b",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"(?<![\d:])(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?(?::\d{2})? ?(?P<half>a\.?m\.?|p\.?m\.?|o['’]clock)(?!\w)"
    r"|(?<![\d:])(?P<hour2>\d{1,2}):(?P<minute2>\d{2})(?::\d{2})?(?![\d:])|\b(?P<word>noon|midday|midnight)\b"
    r"|\b(?P<hour4>\d{1,2}|[a-z]+) (?:in the|at) (?P<time>morning|afternoon|evening|night)\b"
    r"|\b(?P<part>half past|quarter past|quarter to) (?P<hour3>\d{1,2}|\w+)\b",
    re.IGNORECASE,
)


class Mention(NamedTuple):
    """A date that is said, with its place in the text; `date` is None for a relative one when today is not known."""

    date: Day
    start: int
    end: int


@memo.of_texts(4096)
def dates_in(text: str, today: Day) -> tuple[Mention, ...]:
    """The dates that a text may mean. One that has several readings ("next Friday", a day without its year) is there with each."""
    mentions: list[Mention] = []
    for match in _ABSOLUTE.finditer(text):
        mentions += (Mention(date, *match.span()) for date in _absolute(match, today))
    for match in _RELATIVE.finditer(text):
        if today is None:
            if (match["weekday"] is None or match["which"]) and match["nth"] is None:
                mentions.append(Mention(None, *match.span()))
            continue
        try:
            mentions += (Mention(date, *match.span()) for date in _relative(match, today))
        except OverflowError:
            continue
    return tuple(mentions)


def _absolute(match: re.Match[str], today: Day) -> list[datetime.date]:
    if match["iso"]:
        year, month, day = (int(part) for part in re.findall(r"\d+", match["iso"]))
        return _valid([(year, month, day)])
    if match["numeric"]:
        first, second, year = (int(part) for part in re.split(r"[-/.]", match["numeric"]))
        year += 2000 if year < 100 else 0
        return _valid([(year, first, second), (year, second, first)])
    month = _MONTHS[folded(match["month"] or match["month2"])]
    days = [int(number) for number in re.findall(r"\d+", match["days"] or match["days2"])]
    written_year = match["year"] or match["year2"]
    years = (
        [int(written_year)]
        if written_year
        else [today.year + more for more in (-1, 0, 1)]
        if today
        else range(1990, 2060)
    )
    if (
        re.search(r"[-–]| to |through|until", match["days"] or match["days2"])
        and len(days) == 2
        and days[0] < days[1] <= 31
    ):
        days = list(range(days[0], days[1] + 1))
    return _valid([(year, month, day) for year in years for day in days])


def _valid(parts: list[tuple[int, int, int]]) -> list[datetime.date]:
    dates = []
    for year, month, day in parts:
        if 1 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]:
            dates.append(datetime.date(year, month, day))
    return dates


def _relative(match: re.Match[str], today: datetime.date) -> list[datetime.date]:
    said = folded(match.group())
    if "day after tomorrow" in said:
        return [today + 2 * _DAY]
    if "day before yesterday" in said:
        return [today - 2 * _DAY]
    for name, ahead in (("today", 0), ("tomorrow", 1), ("yesterday", -1)):
        if match[name]:
            return [today + ahead * _DAY]
    if unit := match["unit"] or match["unit2"]:
        count = _count(folded(match["number"] or match["number2"]))
        if count is None:
            return []
        start = today + _DAY if folded(match["way"] or "") == "from tomorrow" else today
        return [_shifted(start, folded(unit), -count if folded(match["way"] or "") == "ago" else count)]
    if match["nth"]:
        months = {(day.year, day.month) for day in (today, _shifted(today, "month", 1))}
        return _valid([(year, month, int(match["nth"])) for year, month in sorted(months)])
    if match["weekday"]:
        return _weekday(_WEEKDAYS[folded(match["weekday"])], folded(match["which"] or ""), today)
    return _span(folded(match["which2"]), folded(match["span"]), today)


def _count(word: str) -> int | None:
    if word.isdecimal():
        return int(word) if len(word) < 5 else None
    if word in ("a", "an", "one"):
        return 1
    if word == "a couple of":
        return 2
    values = word_numbers(word)
    return values.pop() if len(values) == 1 else None


_DAYS = {"day": 1, "week": 7, "fortnight": 14}


def _shifted(start: datetime.date, unit: str, count: int) -> datetime.date:
    if unit in _DAYS:
        return start + count * _DAYS[unit] * _DAY
    months = start.year * 12 + start.month - 1 + count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    return datetime.date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def _weekday(number: int, which: str, today: datetime.date) -> list[datetime.date]:
    ahead = (number - today.weekday()) % 7
    if which in ("last", "past"):
        return [today - ((-ahead) % 7 or 7) * _DAY]
    first = today + (ahead or 7) * _DAY
    # "this Friday" and "Friday" may be today; "next Friday" is the coming one to some and the one after to others, but not
    # where the coming one is a whole week away.
    if which == "next":
        return [first] if (first - today).days == 7 or (first - today).days > 5 else [first, first + 7 * _DAY]
    return [first, today] if ahead == 0 else [first]


def _span(which: str, span: str, today: datetime.date) -> list[datetime.date]:
    step = {"next": 1, "this": 0, "last": -1}[which]
    monday = today - today.weekday() * _DAY + 7 * step * _DAY
    if span == "weekend":
        return [monday + 5 * _DAY, monday + 6 * _DAY]
    if span == "week":
        return [monday + more * _DAY for more in range(7)]
    first = _shifted(today.replace(day=1), span, step)
    if span == "month":
        return [first, _shifted(today, span, step), first.replace(day=calendar.monthrange(first.year, first.month)[1])]
    return [first.replace(month=1), _shifted(today, span, step), first.replace(month=12, day=31)]


Clock = tuple[int, int]  # hour and minute


@memo.of_texts(4096)
def clocks_in(text: str) -> frozenset[Clock]:
    """The times of day that a text says."""
    return frozenset(clock for _, readings in clock_mentions(text) for clock in readings)


def clock_mentions(text: str) -> list[tuple[str, set[Clock]]]:
    """Each time of day as it is written, with what it may mean: "8 o'clock" is one in the morning and one in the evening."""
    mentions = [(match.group(), _clock(match)) for match in _CLOCK.finditer(text)]
    return [(written, readings) for written, readings in mentions if readings]


def _clock(match: re.Match[str]) -> set[Clock]:
    readings: set[Clock] = set()
    if match["word"]:
        readings = {(0, 0) if folded(match["word"]) == "midnight" else (12, 0)}
    elif match["time"]:
        hour = _count(folded(match["hour4"]))
        if hour is not None:
            readings = {(hour % 12 + (0 if folded(match["time"]) == "morning" else 12), 0)}
    elif match["part"]:
        hour = _count(folded(match["hour3"]))
        if hour is not None:
            hour, minute = {"half past": (hour, 30), "quarter past": (hour, 15)}.get(
                folded(match["part"]), (hour - 1, 45)
            )
            readings = {(hour % 24, minute), ((hour + 12) % 24, minute)}
    else:
        hour, minute = int(match["hour"] or match["hour2"]), int(match["minute"] or match["minute2"] or 0)
        half = (match["half"] or "").lower()[:1]
        if half == "o":
            readings = {(hour % 24, minute), ((hour + 12) % 24, minute)}
        elif half:
            readings = {(hour % 12 + (12 if half == "p" else 0), minute)}
        else:
            readings = {(hour, minute)}
    return {(hour, minute) for hour, minute in readings if hour < 24 and minute < 60}


@memo.of_texts(4096)
def parts_in(text: str, unit: str, today: Day) -> frozenset[int]:
    """The hours, minutes, days, months or years of the times and dates that a text says."""
    if unit in ("hour", "minute"):
        return frozenset(clock[unit == "minute"] for clock in clocks_in(text))
    values = {getattr(item.date, unit) for item in dates_in(text, today) if item.date}
    for match in re.finditer(rf"\b({_MONTH})\b(?:,? (?:of )?(\d{{4}}))?", text, re.IGNORECASE):
        values |= (
            {_MONTHS[folded(match[1])]}
            if unit == "month"
            else {int(match[2])}
            if unit == "year" and match[2]
            else set()
        )
    if unit == "year":
        values |= {century + int(short) for short in re.findall(r"['’](\d{2})\b", text) for century in (1900, 2000)}
    return frozenset(values)


def day(text: str) -> Day:
    """An ISO date, None for another text."""
    try:
        return datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else None
    except ValueError:
        return None


def spoken_day(date: datetime.date) -> str:
    """A date as the system prompt gives it: weekday and ISO 8601."""
    return f"{date:%A}, {date.isoformat()}"


def date_variants(date: datetime.date, today: datetime.date) -> list[str]:
    """How people say a date: numeric, with the month's name, or, last, relative to `today`."""
    number, month, short = date.day, f"{date:%B}", f"{date:%b}"
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    variants = [f"{date:%Y/%m/%d}", f"{date:%d.%m.%Y}"]
    for name in (month, short):
        for numeral in (str(number), f"{number}{suffix}"):
            variants += [f"{name} {numeral}", f"{numeral} {name}", f"{numeral} of {name}", f"the {numeral} of {name}"]
    ahead = (date - today).days
    variants += {0: ["tonight", "today"], 1: ["tomorrow"], 2: ["the day after tomorrow"]}.get(ahead, [])
    if 0 < ahead <= 7:
        variants += [f"next {date:%A}", f"this {date:%A}", f"on {date:%A}"]
    return variants


def clock_variants(hour: int, minute: int) -> list[str]:
    """How people say a time of day."""
    half = "am" if hour < 12 else "pm"
    hour12 = hour % 12 or 12
    variants = [f"{hour}:{minute:02d}", f"{hour12}:{minute:02d} {half}", f"{hour12}:{minute:02d}{half}"]
    variants += [f"{hour12}:{minute:02d} {half[0]}.m.", f"{hour:02d}:{minute:02d}"]
    if minute == 0:
        variants += [f"{hour12} {half}", f"{hour12}{half}", f"{hour12} o'clock"]
    if (hour, minute) == (12, 0):
        variants.append("noon")
    return variants
