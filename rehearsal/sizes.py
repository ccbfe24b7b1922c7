"""
How large a rehearsal is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """
    The extent of a rehearsal.

    `workloads` are those that exist before the installation. `phase` is the length of each of its steps, `pause` how
    long a person rests between two requests, both in seconds. `servers` are the API servers that clients talk to.
    `deployments` with three replicas each, `sets` with two, and `pods` and `claims` by themselves are handed over
    while `colleagues` work beside; `handovers` is how many of `handing_over.CASES` are tried.
    """

    teams: int
    people: int
    heavy: int
    workloads: int
    phase: float
    pause: float
    servers: int
    replicas: int
    colleagues: int
    deployments: int
    sets: int
    pods: int
    claims: int
    handovers: int = 3
    robots: int = 3
    operators: int = 2

    @property
    def handed_over(self) -> int:
        """Return the number of objects that are handed over: of a StatefulSet itself, two pods and two claims."""
        return 5 * self.deployments + 5 * self.sets + self.pods + self.claims


FULL = Size(8, 40, 4, 300, 60.0, 1.2, 2, 3, colleagues=10, deployments=28, sets=6, pods=16, claims=14)
SMALL = Size(2, 4, 1, 14, 1.5, 0.4, 1, 2, colleagues=2, deployments=2, sets=1, pods=2, claims=1, handovers=2)
SIZES = {"full": FULL, "small": SMALL}
