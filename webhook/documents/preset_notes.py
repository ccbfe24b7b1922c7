"""
What an admin should know of what a policy says of sessions: what has no effect on some, because of their preset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.documents.mistake import Mistake
from webhook.quota.missing import DEFAULT_CATEGORY
from webhook.quota.policy import Policy


def time_notes(policy: Policy, places: Mapping[str, Mistake]) -> Iterator[tuple[Mistake, str]]:
    """Yield a note for each cap on a time, at its first place, if presets of *policy* name no field for it."""
    for name, place in places.items():
        without = [each.name for each in policy.presets if name not in each.times]
        if without:
            yield place, f"no effect on sessions of {', '.join(without)}: the preset names no field that is read for it"


def category_notes(policy: Policy) -> Iterator[str]:
    """Yield what is to be known of the categories of *policy*."""
    if not policy.presets:
        yield "nothing is a session without sessions.presets; no category has an effect"
    unknown = [each.name for each in policy.presets if not each.names_pods]
    if unknown:
        yield f"no effect on sessions of {', '.join(unknown)}: their pods do not carry the name of their session"
    without = [each.name for each in policy.presets if each.names_pods and not each.category]
    if without and DEFAULT_CATEGORY not in policy.categories:
        yield f"no effect on sessions of {', '.join(without)}: the preset names no category, and none is called default"
