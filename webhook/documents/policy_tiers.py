"""
Which entries refer to a tier, and what is wrong with that: known only when all texts are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from webhook.documents.mistake import Mistake
from webhook.documents.model_mistakes import suggestion
from webhook.quota.policy import Entry

TIERS = "tiers"


class TierUse(NamedTuple):
    """An entry that has the tier *name*; `place` is that of a mistake, `is_capped` says whether it may have caps."""

    name: str
    place: Mistake
    is_capped: bool

    def mistakes(self, tiers: Mapping[str, Entry], *, are_all_known: bool) -> Iterator[Mistake]:
        """Yield what is wrong with it; unless *are_all_known*, its tier may be in what could not be read."""
        tier = tiers.get(self.name)
        if tier is None and are_all_known:
            message = f"unknown tier {self.name}" + (suggestion(self.name, sorted(tiers)) if tiers else "")
            yield replace(self.place, message=message)
        elif tier is not None and tier.caps and not self.is_capped:
            message = f"a pool has no {', '.join(tier.caps)}, which {tier.path} at {tier.place} sets"
            yield replace(self.place, message=message)


def unused_tiers(tiers: Collection[str], uses: Collection[TierUse]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield where each of the *tiers* that no entry has is defined, and the note."""
    used = {each.name for each in uses}
    return (((TIERS, name), "no entry has this tier: it has no effect") for name in tiers if name not in used)
