"""
What an admin should know of a group that is valid: its limits bind nobody, or only those who log in with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.quota.membership import Membership
from webhook.quota.policy import MINIMUMS, Entry, Group, Hard, Mode, Policy, Unlimited
from webhook.quota.scopes import Selector
from webhook.quota.subject import AUTHENTICATED

_EVERYTHING = Selector(())
_OF_KUBERNETES = "system:"
"""How the groups begin that the API server itself gives: no login lacks one that is due."""

_BINDS_NOBODY = "nobody is in it: membership is live, and neither members nor attribution.groupObjects say who is"

NOT_KEPT = f"everybody is in {AUTHENTICATED}, so that it is not kept with what people create, and nobody is found in it"
"""Of the groups that the API server gives this is the only one that stamps leave out."""

_Limited = tuple[Selector, str, str]
"""What a limit is on: what it selects, the cap, empty for a sum, and the resource."""


def group_notes(policy: Policy) -> Iterator[tuple[str, str]]:
    """Yield the names of groups of *policy*, each with what is to be known of it."""
    if policy.group_objects is not None:
        return
    most = {limited: hard for each in policy.catalogue_defaults for limited, hard in _limits(policy, each).items()}
    most |= _limits(policy, policy.defaults.user)
    for name, group in policy.groups.items():
        if group.members:
            continue
        if name == AUTHENTICATED:
            yield name, f"{NOT_KEPT}; what holds for everybody is defaults.user or cluster"
        elif group.membership is Membership.LIVE:
            yield name, _BINDS_NOBODY
        elif not name.startswith(_OF_KUBERNETES) and (stricter := sorted(_stricter(policy, group, most))):
            named = ", ".join(stricter)
            yield name, f"a login without this group lifts its limits on {named}; it binds those in members in any case"


def _stricter(policy: Policy, group: Group, most: Mapping[_Limited, Hard]) -> set[str]:
    """Return the resources of which members may have less than *most*, what anybody may have by default."""
    limits = [each for entry in (group.per_member, group.pool) for each in _limits(policy, entry).items()]
    return {limited[-1] for limited, hard in limits if _is_less(hard, limited, most)}


def _is_less(hard: Hard, limited: _Limited, most: Mapping[_Limited, Hard]) -> bool:
    """
    Whether *hard* is less than *most* of the same, and less than *most* of all that it is a part of; a minimum, larger.
    """
    if limited[1] in MINIMUMS.values():
        least = most.get(limited, 0)
        return not (isinstance(hard, Unlimited) or isinstance(least, Unlimited)) and hard > least
    bounds = (most.get(each, Unlimited.UNLIMITED) for each in (limited, (_EVERYTHING, *limited[1:])))
    return not isinstance(hard, Unlimited) and all(isinstance(each, Unlimited) or hard < each for each in bounds)


def _limits(policy: Policy, entry: Entry | None) -> dict[_Limited, Hard]:
    """Return the limits of *entry* that refuse something."""
    found: dict[_Limited, Hard] = {}
    parts = () if entry is None else policy.parts_of(entry, None)
    for each in (each for part in parts for each in (part, *part.scoped)):
        if each.mode is Mode.ENFORCE:
            selector = each.selector or _EVERYTHING
            found |= {(selector, cap, name): hard for cap, name, hard in each.amounts()}
    return found
