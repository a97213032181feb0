"""The whole road as one job.

python -m jobs.run --config configs/cluster.yaml
"""

from __future__ import annotations

from typing import Any

from jobs.evolve import evolve
from jobs.generate import generate
from jobs.session import Session


def run(current: Session) -> dict[str, Any]:
    """Grow the pool, make the dialogs, export them.

    Raises:
        UserError: see evolve and generate.
    """
    evolve(current, dialogs=True)
    return generate(current)


if __name__ == "__main__":
    from jobs.command import as_program
    from jobs.summary import describe_dialogs

    as_program(run, describe_dialogs)
