"""Functions to read APIs from: they are never run, so they have no bodies."""

from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated


class Light(Enum):
    SUN = "sun"
    HALF_SHADE = "half shade"
    SHADE = "shade"


@dataclass
class Bed:
    """A bed of a garden.

    Attributes:
        bed_id: Id of the bed.
        light: Light that it has.
        plants: Names of the plants in it.
    """

    bed_id: str
    light: Light
    plants: list[str]


def find_beds(garden_id: str, light: Light | None = None) -> list[Bed]:
    """Find the beds of a garden.

    Args:
        garden_id: Id of the garden.
        light: Light that the beds have; any when absent.

    Returns:
        The beds.
    """
    raise NotImplementedError


class Watering:
    """What waters a garden."""

    def schedule(
        self,
        bed_id: Annotated[str, "Id of the bed"],
        day: Annotated[date, "First day"],
        liters: Annotated[float, "Liters a day"] = 5.0,
    ) -> bool:
        """Water a bed every day from some day on.

        Raises:
            LookupError: There is no such bed.
        """
        raise NotImplementedError
