"""
Whom objects are charged to, remembered by namespace and account until the policy, a namespace or a group changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping

from webhook.quota.subject import Account, Subject

Bind = Callable[[Account, str], tuple[Subject, ...]]
"""Returns the subjects that are charged for an object of an account in a namespace."""

Bound = Mapping[Account, tuple[Subject, ...]]
"""The subjects of the accounts of one namespace."""

_NONE: Bound = {}

_MIN_PRUNE_SIZE = 4096
"""Pairs of account and namespace above which unused ones are forgotten, which walks through all objects."""


class ChargedSubjects:
    """What `Bind` says of each pair of account and namespace, asked once while it says the same."""

    def __init__(self, bind: Bind, in_use: Callable[[], Iterable[tuple[str, Account]]]) -> None:
        """
        Remember nothing yet. *in_use* returns the pairs of namespace and account that have any object; it is slow.

        *bind* must say the same of a pair until it is replaced, or `compute` and `put` are called for its namespace.
        """
        self._bind = bind
        self._in_use = in_use
        self._by_namespace: dict[str, dict[Account, tuple[Subject, ...]]] = {}
        self._pairs = 0
        self._prune_above = _MIN_PRUNE_SIZE

    def of(self, account: Account, namespace: str) -> tuple[Subject, ...]:
        """Return the subjects that are charged for objects of *account* in *namespace*."""
        bound = self._by_namespace.get(namespace, _NONE).get(account)
        return self._found(account, namespace) if bound is None else bound

    def rebind(self, bind: Bind) -> bool:
        """Ask *bind* from now on; return whether it says anything else of any pair."""
        if self._pairs > self._prune_above:
            self._prune()
        known, self._bind = self._by_namespace, bind
        self._by_namespace = {namespace: self._of_all(namespace, accounts) for namespace, accounts in known.items()}
        return self._by_namespace != known

    def changes_in(self, namespace: str) -> Bound:
        """Return what has changed in *namespace*, e.g. by its labels, for `put`; empty if nothing has."""
        known = self._by_namespace.get(namespace, _NONE)
        bound = self._of_all(namespace, known)
        return {account: subjects for account, subjects in bound.items() if subjects != known[account]}

    def changes_of(self, bind: Bind, owners: Container[str]) -> Mapping[str, Bound]:
        """
        Ask *bind* from now on, which differs for accounts of *owners* only; return what that changes, by namespace, for
        `put`.
        """
        self._bind = bind
        changed: dict[str, dict[Account, tuple[Subject, ...]]] = defaultdict(dict)
        for namespace, accounts in self._by_namespace.items():
            for account, known in accounts.items():
                if account.payer.owner in owners and (bound := bind(account, namespace)) != known:
                    changed[namespace][account] = bound
        return changed

    def put(self, namespace: str, changed: Bound) -> None:
        """Charge accounts in *namespace* as *changed* says from now on."""
        self._by_namespace[namespace].update(changed)

    def _found(self, account: Account, namespace: str) -> tuple[Subject, ...]:
        """Return the subjects of a pair that is not known, and forget others before there are too many."""
        if self._pairs >= self._prune_above:
            self._prune()
        bound = self._by_namespace.setdefault(namespace, {})[account] = self._bind(account, namespace)
        self._pairs += 1
        return bound

    def _of_all(self, namespace: str, accounts: Collection[Account]) -> dict[Account, tuple[Subject, ...]]:
        return {account: self._bind(account, namespace) for account in accounts}

    def _prune(self) -> None:
        """
        Forget the pairs that have no object: `bind` would say the same of them again.

        An object that is just being counted may not be known yet.
        """
        in_use: dict[str, dict[Account, tuple[Subject, ...]]] = defaultdict(dict)
        for namespace, account in self._in_use():
            bound = self._by_namespace.get(namespace, _NONE).get(account)
            if bound is not None:
                in_use[namespace][account] = bound
        self._by_namespace = dict(in_use)
        self._pairs = sum(map(len, in_use.values()))
        self._prune_above = max(_MIN_PRUNE_SIZE, 2 * self._pairs)
