"""
Exemptions: payers, namespaces and priority classes that no limit refuses, each with a reason and maybe an end.

What is exempt still counts: it fills the limits of others, and is told in the audit log.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from webhook.quota import scopes
from webhook.quota.subject import Account


class ExemptBy(enum.Enum):
    """What an exemption names, in the words of the policy."""

    USER = "user"
    SERVICE_ACCOUNT = "serviceAccount"
    GROUP = "group"
    NAMESPACE = "namespace"
    PRIORITY_CLASS = "priorityClass"


@dataclass(frozen=True, slots=True)
class Exemption:
    """Objects of what it names are not refused before `until`. A service account is named by its username."""

    by: ExemptBy
    name: str
    reason: str
    until: datetime | None = None

    def __str__(self) -> str:
        """Return it as in the audit log: `group system:masters: administrators mend what others own`."""
        return f"{self.by.value} {self.name}: {self.reason}"


class Exemptions:
    """All exemptions of a policy, by what they name: a decision does not walk through them."""

    __slots__ = ("_by_name", "groups", "rows")

    def __init__(self, rows: Iterable[Exemption] = ()) -> None:
        """Keep *rows*. Of several for one name those in force are tried in their order."""
        self.rows = tuple(rows)
        self._by_name: defaultdict[str, list[Exemption]] = defaultdict(list)
        for each in self.rows:
            self._by_name[_key(each.by, each.name)].append(each)
        self.groups = frozenset(each.name for each in self.rows if each.by is ExemptBy.GROUP)
        """The groups that exempt: the only ones besides those with an entry that matter of a payer."""

    def __eq__(self, other: object) -> bool:
        """Whether *other* has the same rows."""
        return isinstance(other, Exemptions) and self.rows == other.rows

    def __hash__(self) -> int:
        """Return a hash of the rows."""
        return hash(self.rows)

    def of(self, account: Account, namespace: str, now: datetime) -> Exemption | None:
        """Return the exemption in force at *now* for an object of *account* in *namespace*; None if there is none."""
        if not self.rows:
            return None
        payer = account.payer
        keys = [_key(ExemptBy.USER, payer.owner), _key(ExemptBy.SERVICE_ACCOUNT, payer.owner)]
        keys += [_key(ExemptBy.GROUP, name) for name in payer.groups if name in self.groups]
        keys.append(_key(ExemptBy.NAMESPACE, namespace))
        classes = scopes.values_of(scopes.PRIORITY_CLASS, account.scopes)
        keys += [_key(ExemptBy.PRIORITY_CLASS, name) for name in classes]
        found = (each for key in keys for each in self._by_name.get(key, ()))
        return next((each for each in found if each.until is None or now < each.until), None)


def _key(by: ExemptBy, name: str) -> str:
    return f"{by.value} {name}"


NO_EXEMPTIONS = Exemptions()
