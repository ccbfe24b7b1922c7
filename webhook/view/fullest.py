"""
The subjects that are nearest to one of their limits, with all their limits: what metrics may show of people.

Two walks over all accounts, in steps that the caller chooses. The first keeps one number for each subject, the second
the limits of the few that are shown.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from operator import itemgetter

from webhook.quota.limits import Limit, resolve_limits
from webhook.quota.policy import Mode
from webhook.quota.resources import Amount
from webhook.quota.subject import Account, Subject, selector_of, unscoped
from webhook.view.standings import Scene


@dataclass(frozen=True, slots=True)
class Filled:
    """What existing objects of *subject* use of *resource*, and its limit on that, in billionths of the unit."""

    subject: Subject
    selector: str
    resource: str
    used: Amount
    hard: Amount


@dataclass(frozen=True, slots=True)
class FullestQuotas:
    """The limits of the fullest subjects, and how many other subjects have limits and use something."""

    limits: tuple[Filled, ...]
    omitted: int


class Fullest:
    """
    Finds the *most* fullest subjects of those that use something.

    First `note` the account and namespace of each object and reservation, then `choose`, then `take` each of `noted`.
    """

    def __init__(self, scene: Scene, most: int) -> None:
        """Find at most *most* subjects."""
        self._scene = scene
        self._most = most
        self._noted: dict[tuple[Account, str], None] = {}
        self._fullness: dict[Subject, float] = {}
        self._chosen: frozenset[Subject] = frozenset()
        self._taken: set[Subject] = set()
        """Subjects whose limits are known. Those of a person are read for each account: they depend on its groups."""
        self._limits: dict[tuple[Subject, str], tuple[Limit, Amount]] = {}
        """With what is used, by subject and resource."""

    def note(self, account: Account, namespace: str) -> None:
        """Record how full the subjects are that pay for objects of *account* in *namespace*."""
        if (account, namespace) in self._noted:
            return
        self._noted[account, namespace] = None
        for limit in self._limits_of(account, namespace):
            allocated = self._scene.usage.allocated(limit.subject, limit.resource)
            if allocated:
                whom = unscoped(limit.subject)
                full = float(allocated / limit.hard) if limit.hard else inf
                self._fullness[whom] = max(full, self._fullness.get(whom, 0.0))

    @property
    def noted(self) -> Iterable[tuple[Account, str]]:
        """Each account and namespace that was noted, once."""
        return self._noted

    def choose(self) -> None:
        """Choose the fullest. Takes time with very many subjects; another thread may call it between two walks."""
        fullest = heapq.nlargest(self._most, self._fullness.items(), key=itemgetter(1, 0))
        self._chosen = frozenset(whom for whom, _ in fullest)

    def take(self, account: Account, namespace: str) -> None:
        """Take in the limits of the chosen subjects that pay for objects of *account* in *namespace*."""
        holder = self._scene.policy.holder_of(account.payer)
        subjects = [
            each
            for each in self._scene.usage.subjects_of(account, namespace)
            if (whom := unscoped(each)) in self._chosen and (whom == holder or each not in self._taken)
        ]
        if not subjects:
            return
        self._taken.update(subjects)
        for limit in self._limits_of(account, namespace):
            key = limit.subject, limit.resource
            if unscoped(limit.subject) in self._chosen and _binds_more(limit, self._limits.get(key)):
                self._limits[key] = limit, self._scene.usage.used(*key)

    def result(self) -> FullestQuotas:
        """Return what was found, by subject and resource. Another thread may call it after the walks."""
        rows = (
            Filled(unscoped(whom), selector_of(whom), resource, used, limit.hard)
            for (whom, resource), (limit, used) in sorted(self._limits.items(), key=itemgetter(0))
        )
        return FullestQuotas(tuple(rows), len(self._fullness) - len(self._chosen))

    def _limits_of(self, account: Account, namespace: str) -> Iterable[Limit]:
        scene = self._scene
        labels = scene.labels(namespace)
        return resolve_limits(scene.policy, account, namespace=namespace, labels=labels, now=scene.now).sums


def _binds_more(limit: Limit, known: tuple[Limit, Amount] | None) -> bool:
    """Whether *limit* binds more than the *known* one: what refuses before what only warns, then the lower."""
    return known is None or _order(limit) < _order(known[0])


def _order(limit: Limit) -> tuple[bool, Amount]:
    return limit.mode is not Mode.ENFORCE, limit.hard
