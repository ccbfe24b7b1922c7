"""
Who is in a group: in the lists of a policy, and in objects of the cluster that list members as well.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias


class Membership(enum.Enum):
    """Whose objects count in a group: also those of who was in it when they were made, or those of today's members."""

    CREATION = "creation"
    LIVE = "live"


class GroupObjects(enum.Enum):
    """The objects of the cluster that list members beside the policy: OpenShift's `Group` (`user.openshift.io/v1`)."""

    OPENSHIFT = "openshift"


GroupsByMember: TypeAlias = Mapping[str, frozenset[str]]
"""The names of the groups that list a person, by the person's username."""


def groups_by_member(members: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Return the groups of each person, given the *members* of each group."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, listed in members.items():
        for member in listed:
            found[member].add(name)
    return {member: frozenset(names) for member, names in found.items()}
