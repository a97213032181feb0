"""What was read in a text is kept, so that each of many rules need not read it anew; what is kept is bounded in characters.

Most texts of a dialog are short and come again: in the next candidate, the next attempt, another dialog. A long one (a tool's
result, all messages so far as one text) is looked at many times while its dialog is judged, and never after.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

SHORT = 1024  # characters of a text that is kept among many: nearly all that users and assistants say is shorter
LONG = 1 << 18  # characters of the longer texts that are kept together: those of one large dialog

Reader = TypeVar("Reader", bound=Callable[..., Any])


def of_texts(most: int) -> Callable[[Reader], Reader]:
    """Keep what a pure function gives for a text, its first argument; all arguments are positional and hashable.

    Args:
        most: the number of short texts that are kept, the latest used. Of longer ones `LONG` characters are kept, or one text.
    """

    def decorator(function: Reader) -> Reader:
        short = lru_cache(maxsize=most)(function)
        longer: dict[tuple[Any, ...], Any] = {}
        size = 0

        @wraps(function)
        def read(text: str, *more: Any) -> Any:
            nonlocal size
            if len(text) <= SHORT:
                return short(text, *more)
            key = (text, *more)
            if key in longer:
                return longer[key]
            result = function(text, *more)
            if size + len(text) > LONG:
                longer.clear()
                size = 0
            longer[key] = result
            size += len(text)
            return result

        return cast(Reader, read)

    return decorator
