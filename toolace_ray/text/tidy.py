"""Strangers' text on one line, as a file can hold it and as a terminal can show it."""

from __future__ import annotations

import re


def clean(text: str) -> str:
    """A model's text without lone surrogates, which no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def tidy(text: str) -> str:
    """One line, without the quotation marks some models put around everything."""
    line = re.sub(r"\s+", " ", clean(text)).strip()
    return line[1:-1].strip() if len(line) > 2 and line[0] == line[-1] == '"' and line.count('"') == 2 else line


def printable(text: str) -> str:
    """Text of models, servers and files without what a terminal would obey: all but line breaks and tabs is written out."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)
