"""
Several valid documents become one policy: nothing is defined twice, every entry knows its line.

How a document is read lies in `policy_text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from webhook.documents.mistake import Mistake, Position, field_path
from webhook.documents.policy_schema import EntryPart, GroupPart, PolicyPart, PoolPart, TenantPart
from webhook.kinds.registry import KINDS
from webhook.quota import resources
from webhook.quota.policy import CAPS, Combine, Defaults, Entry, Group, Hard, Policy, Tenant
from webhook.quota.subject import SERVICE_ACCOUNT_PREFIX

Step = str | int


class Placed(Protocol):
    """A valid document whose fields can be found in its text."""

    @property
    def part(self) -> PolicyPart:
        """The document."""

    @property
    def source(self) -> str:
        """What people know the text by."""

    def position(self, *location: Step) -> Position:
        """Where a field stands."""


@dataclass(frozen=True, slots=True)
class Merged:
    """One policy of several documents; worth something only if there are no mistakes."""

    policy: Policy
    mistakes: tuple[Mistake, ...]
    notes: tuple[Mistake, ...]


def merge(documents: Sequence[Placed]) -> Merged:
    """Give what *documents* mean together."""
    merger = _Merger()
    for document in documents:
        merger.add(document)
    return Merged(merger.policy(), tuple(merger.mistakes), tuple(merger.notes))


class _Merger:
    """One policy in the making."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self.notes: list[Mistake] = []
        self._defined: dict[tuple[Step, ...], str] = {}
        self._entries: dict[tuple[Step, ...], Entry] = {}
        self._groups: dict[str, Group] = {}
        self._tenants: dict[str, Tenant] = {}
        self._combine: Combine | None = None
        self._trusted: set[str] = set()

    def add(self, document: Placed) -> None:
        part = document.part
        if part.combine is not None and self._define(document, ("combine",)):
            self._combine = part.combine
        if part.attribution is not None:
            self._trusted.update(_username(name) for name in part.attribution.trustedControllers)
        if part.defaults is not None:
            for name in ("user", "serviceAccount", "unattributed"):
                self._entry(document, ("defaults", name), getattr(part.defaults, name))
        for name, user in part.users.items():
            self._user(document, name, user)
        for section, listed in (("serviceAccounts", part.serviceAccounts), ("namespaces", part.namespaces)):
            for name, each in listed.items():
                self._entry(document, (section, name), each)
        for name, group in part.groups.items():
            self._group(document, name, group)
        for name, tenant in part.tenants.items():
            self._tenant(document, name, tenant)
        self._entry(document, ("cluster",), part.cluster)

    def policy(self) -> Policy:
        return Policy(
            defaults=Defaults(
                user=self._entries.get(("defaults", "user")),
                service_account=self._entries.get(("defaults", "serviceAccount")),
                unattributed=self._entries.get(("defaults", "unattributed")),
            ),
            users=self._section("users"),
            service_accounts={_username(name): entry for name, entry in self._section("serviceAccounts").items()},
            groups=self._groups,
            tenants=self._tenants,
            namespaces=self._section("namespaces"),
            cluster=self._entries.get(("cluster",)),
            combine=self._combine or Combine.MOST_RESTRICTIVE,
            trusted_controllers=frozenset(self._trusted),
        )

    def _section(self, section: str) -> dict[str, Entry]:
        return {
            str(location[1]): entry
            for location, entry in self._entries.items()
            if len(location) > 1 and location[0] == section
        }

    def _define(self, document: Placed, location: tuple[Step, ...]) -> bool:
        """Say whether this is the first definition; a second one is a mistake that names the first."""
        position = document.position(*location)
        if location in self._defined:
            self._mistake(document, location, f"already defined at {self._defined[location]}")
            return False
        self._defined[location] = f"{document.source}:{position.line}"
        return True

    def _user(self, document: Placed, name: str, part: EntryPart) -> None:
        if name.startswith(SERVICE_ACCOUNT_PREFIX):
            self._mistake(
                document, ("users", name), "a service account belongs into serviceAccounts, as namespace/name"
            )
        self._entry(document, ("users", name), part)

    def _entry(self, document: Placed, location: tuple[Step, ...], part: PoolPart | None) -> None:
        if part is not None and self._define(document, location):
            self._entries[location] = self._read(document, location, part)

    def _group(self, document: Placed, name: str, part: GroupPart) -> None:
        location = ("groups", name)
        if not self._define(document, location):
            return
        member, pool = part.perMember, part.pool
        self._groups[name] = Group(
            per_member=self._read(document, (*location, "perMember"), member) if member else None,
            pool=self._read(document, (*location, "pool"), pool) if pool else None,
            members=frozenset(part.members),
        )

    def _tenant(self, document: Placed, name: str, part: TenantPart) -> None:
        location = ("tenants", name)
        if not self._define(document, location):
            return
        each = part.perNamespace
        self._tenants[name] = Tenant(
            match_labels=tuple(sorted(part.namespaces.matchLabels.items())),
            entry=self._read(document, location, part),
            per_namespace=self._read(document, (*location, "perNamespace"), each) if each else None,
        )

    def _read(self, document: Placed, location: tuple[Step, ...], part: PoolPart) -> Entry:
        line = document.position(*location).line
        return Entry(
            path=field_path(location),
            place=f"{document.source}:{line}",
            hard=self._hards(document, (*location, "hard"), part.hard),
            caps=self._caps(document, location, part),
            mode=part.mode,
            until=part.until,
        )

    def _caps(self, document: Placed, location: tuple[Step, ...], part: PoolPart) -> dict[str, Mapping[str, Hard]]:
        caps: dict[str, Mapping[str, Hard]] = {}
        for name in CAPS:
            written = getattr(part, name, None)
            if written and name in KINDS.caps():
                caps[name] = self._hards(document, (*location, name), written)
            elif written:
                self._note(document, (*location, name), "no kind of this release has this cap; it has no effect yet")
        return caps

    def _hards(self, document: Placed, location: tuple[Step, ...], written: Mapping[str, Hard]) -> dict[str, Hard]:
        hards: dict[str, Hard] = {}
        for name, hard in written.items():
            canonical = resources.canonical_name(name) or name
            if canonical in hards:
                self._mistake(
                    document, (*location, name), f"{canonical} is given twice, under its short and its full name"
                )
            if not KINDS.counts(canonical):
                self._note(
                    document, (*location, name), "no kind of this release costs this; the limit has no effect yet"
                )
            hards[canonical] = hard
        return hards

    def _mistake(self, document: Placed, location: Iterable[Step], message: str) -> None:
        steps = tuple(location)
        self.mistakes.append(Mistake(document.source, document.position(*steps), field_path(steps), message))

    def _note(self, document: Placed, location: Iterable[Step], message: str) -> None:
        steps = tuple(location)
        self.notes.append(Mistake(document.source, document.position(*steps), field_path(steps), message))


def _username(service_account: str) -> str:
    return SERVICE_ACCOUNT_PREFIX + service_account.replace("/", ":")
