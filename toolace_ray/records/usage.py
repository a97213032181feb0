"""What a task spent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Usage:
    """What a task spent: requests, tokens, and money by the pools' prices.

    `estimated_tokens` are those of `tokens` and `prompt_tokens` that an engine did not count: they are told from the texts'
    length.
    """

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0
    estimated_tokens: int = 0
    cost: float = 0.0
