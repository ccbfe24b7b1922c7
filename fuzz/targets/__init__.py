"""
All targets.
"""

from __future__ import annotations

from fuzz.target import Target
from fuzz.targets import amounts, answers, brokers, edits, objects, reviews, stored, texts

TARGETS: tuple[Target, ...] = (
    *amounts.TARGETS,
    *texts.TARGETS,
    *objects.TARGETS,
    *reviews.TARGETS,
    *edits.TARGETS,
    *stored.TARGETS,
    *answers.TARGETS,
    *brokers.TARGETS,
)


def named(name: str) -> Target:
    """Return the target of that *name*. Raises: KeyError, which names them all."""
    found = {each.name: each for each in TARGETS}
    if name not in found:
        raise KeyError(f"no target {name}: {', '.join(found)}")
    return found[name]
