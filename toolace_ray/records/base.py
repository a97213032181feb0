"""What all records have in common: they never change, and an unknown field is an error."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION: Literal[1] = 1


class Record(BaseModel):
    """Base of all records: frozen and strict about field names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
