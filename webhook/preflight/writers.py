"""
Which programs wrote the pods and workloads. Of users the API keeps nothing in an object.
"""

from __future__ import annotations

from dataclasses import dataclass

from webhook.preflight.census import Census


@dataclass(frozen=True, slots=True)
class Writer:
    """
    A field manager, and the number of pods and workloads of which it has written fields.

    `topmost` are those without a controller: if they were made anew, whoever runs the program would pay for them.
    """

    manager: str
    objects: int
    topmost: int


def writers(census: Census) -> tuple[Writer, ...]:
    """Return the field managers, those first that wrote most objects without a controller."""
    found = (Writer(name, count, census.written_topmost[name]) for name, count in census.written.items())
    return tuple(sorted(found, key=lambda each: (-each.topmost, -each.objects, each.manager)))
