"""
What an admin should know of limits on sessions: those that have no effect on some, because of their preset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.documents.mistake import Mistake
from webhook.quota.policy import Policy


def time_notes(policy: Policy, places: Mapping[str, Mistake]) -> Iterator[tuple[Mistake, str]]:
    """Yield a note for each cap on a time, at its first place, if presets of *policy* name no field for it."""
    for name, place in places.items():
        without = [each.name for each in policy.presets if name not in each.times]
        if without:
            yield place, f"no effect on sessions of {', '.join(without)}: the preset names no field that is read for it"
