"""Types and kinds of dialogs: what quotas count."""

from __future__ import annotations

from typing import Literal, get_args

DialogType = Literal["single", "parallel", "dependent", "non_tool", "clarification", "recovery", "multi_turn"]
DIALOG_TYPES: tuple[DialogType, ...] = get_args(DialogType)
LONGEST_DIALOG = 12  # messages of the user
VARIANTS: dict[DialogType, tuple[str, ...]] = {
    "single": ("plain", "nested", "error", "empty"),
    "parallel": ("same_api", "several_apis"),
    "dependent": ("chain_2", "chain_3", "chain_4", "chain_5"),
    "non_tool": ("no_function", "missing", "small_talk", "knowledge"),
    "clarification": ("ask",),
    "recovery": ("retry", "correct"),
    "multi_turn": tuple(f"turns_{number}" for number in range(2, LONGEST_DIALOG + 1)),
}
"""Type -> its features. Accepted dialogs are counted by type and feature, so that no easy one crowds the others out."""
PLANNED: dict[str, DialogType] = {f"{kind}.{variant}": kind for kind in DIALOG_TYPES for variant in VARIANTS[kind]}
"""Kind (type and feature, "parallel.same_api") -> the type."""
CONTRAST_TOOL, CONTRAST_VALUE = "non_tool.contrast_tool", "non_tool.contrast_value"
CONTRASTS = (CONTRAST_TOOL, CONTRAST_VALUE)
"""Kinds of dialogs that are made from others: without the tool that is called, without a value that it needs."""
IMPORTED: dict[str, DialogType] = {f"{kind}.imported": kind for kind in DIALOG_TYPES}
"""Kinds of dialogs that somebody else made: their types are read from their structure."""
KINDS: dict[str, DialogType] = {**PLANNED, **dict.fromkeys(CONTRASTS, "non_tool"), **IMPORTED}
"""All kinds -> their types."""
