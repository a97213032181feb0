"""What an API is for, in a sentence."""

from __future__ import annotations

import re

from toolace_ray.records.api import Api


def purpose(api: Api) -> str:
    """An API's first sentence in plain words, without what is of use to programs alone."""
    first = re.split(r"(?<=[.!?])\s", api.description.strip())[0]
    first = " ".join(first.split())[:400]  # an expression below looks for blanks from every blank on
    first = re.sub(r",?\s+(?:and|then) (?:returns?|gives?) .*|\s+(?:that|which) \w+_\w+ \w+", "", first)
    sentence = " ".join(first.replace("_", " ").split())[:200]
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
