"""
The members that OpenShift's Group objects list, watched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from webhook.kube.reflector import Undecodable
from webhook.quota.membership import GroupsByMember
from webhook.quota.objects import Shape

RESOURCE: Final = "groups.user.openshift.io"
COLLECTION: Final = "/apis/user.openshift.io/v1/groups"

_NOBODY: Final[frozenset[str]] = frozenset()


class GroupMeta(Shape, frozen=True, gc=False):
    """The metadata of a Group."""

    name: str = ""
    resource_version: str = ""


class GroupObject(Shape, frozen=True, gc=False):
    """A Group (`user.openshift.io/v1`): usernames, exactly as a login has them."""

    metadata: GroupMeta = GroupMeta()
    users: list[str | None] | None = None

    @property
    def members(self) -> frozenset[str]:
        """Return the users; no user has an empty name."""
        return frozenset(each for each in self.users or () if each)


class GroupMembers:
    """The sink of the watch on Groups. Belongs to one event loop."""

    def __init__(self, *, on_change: Callable[[GroupsByMember, frozenset[str]], None]) -> None:
        """Call *on_change* with the groups of everybody and the usernames whose groups changed, whenever any did."""
        self._on_change = on_change
        self._members: dict[str, frozenset[str] | None] = {}
        self._groups: dict[str, frozenset[str]] = {}
        self._listed: dict[str, frozenset[str] | None] | None = None
        self.unreadable: frozenset[str] = frozenset()
        """The Groups whose users cannot be read. One that is empty may be any: not even its name could be."""

    def started(self) -> None:
        """Begin a full list."""
        self._listed = {}

    def seen(self, item: GroupObject) -> None:
        """Record a Group as it is now."""
        self._record(item.metadata.name, item.members)

    def gone(self, item: GroupObject) -> None:
        """Forget a Group."""
        self._record(item.metadata.name, _NOBODY)

    def undecodable(self, item: Undecodable) -> None:
        """Record that nobody knows who is in a Group whose users are no list of names."""
        self._record(item.name, _NOBODY if item.is_gone else None)

    def synced(self, resource_version: int) -> None:  # noqa: ARG002 - one list follows another in order
        """Replace what is known by what the list has shown."""
        listed, self._listed = self._listed or {}, None
        self._replace(dict.fromkeys(self._members.keys() - listed.keys(), _NOBODY) | listed)

    def reached(self, resource_version: int) -> None:
        """Do nothing: how far the watch is does not matter."""

    def _record(self, name: str, members: frozenset[str] | None) -> None:
        if self._listed is not None:
            self._listed[name] = members
        else:
            self._replace({name: members})

    def _replace(self, new: Mapping[str, frozenset[str] | None]) -> None:
        """Put *new* members in the place of the known ones of those groups: work for each member who comes or goes."""
        differing: defaultdict[str, set[str]] = defaultdict(set)
        for name, members in new.items():
            for member in (members or _NOBODY) ^ (self._members.pop(name, None) or _NOBODY):
                differing[member].add(name)
            if members is None or members:
                self._members[name] = members
        self.unreadable = _unreadable(self._members) if self.unreadable or None in new.values() else _NOBODY
        for member, names in differing.items():
            groups = self._groups.pop(member, _NOBODY) ^ names
            if groups:
                self._groups[member] = groups
        if differing:
            self._on_change(self._groups.copy(), frozenset(differing))


def _unreadable(members: Mapping[str, frozenset[str] | None]) -> frozenset[str]:
    return frozenset(name for name, listed in members.items() if listed is None)
