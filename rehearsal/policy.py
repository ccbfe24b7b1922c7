"""
The policy of the installation, in each of its steps, and its limits in exact numbers for the judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nemesis.accounting import STORAGE, Key, quantity
from nemesis.ledger_text import Amount
from rehearsal.manifests import USER_LABEL

NOBODY = "system:unattributed"
_ACCOUNT = "system:serviceaccount:"
_NAMES = {"cpu": "requests.cpu", "storage": STORAGE}


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The `hard` of people, of the accounts of one namespace, of those named, and of namespaces.

    `unattributed` is empty where there is no such entry, `accounts` have entries of their own, as NAMESPACE/NAME.
    """

    user: Mapping[str, str]
    account: Mapping[str, str] = field(default_factory=dict)
    unattributed: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    accounts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    delegate: str = ""
    exempt: str = ""

    def text(self, mode: str = "enforce") -> str:
        """Return the policy with *mode* in each entry."""

        def entries(several: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
            return {name: {"hard": dict(hard), "mode": mode} for name, hard in several.items() if hard}

        defaults = {"user": self.user, "serviceAccount": self.account, "unattributed": self.unattributed}
        document: dict[str, Any] = {
            "version": 1,
            "defaults": entries(defaults),
            "users": entries(self.users),
            "serviceAccounts": entries(self.accounts),
            "namespaces": entries(self.namespaces),
            "exempt": [{"group": "system:masters", "reason": "administrators mend what others own"}],
        }
        if self.exempt:
            document["exempt"] += [{"serviceAccount": self.exempt, "reason": "the network of every node"}]
        if self.delegate:
            named = {"serviceAccount": self.delegate, "owner": [{"label": USER_LABEL}]}
            document["attribution"] = {"delegates": [named]}
        return json.dumps(document)  # JSON is YAML, too

    def hard(self, key: Key) -> Amount | None:
        """Return the limit on *key*, None if there is none."""
        amount = {_NAMES.get(name, name): amount for name, amount in self._entry(key.subject).items()}.get(key.resource)
        return None if amount in (None, "unlimited") else quantity(str(amount))

    def subjects(self, owner: str, namespace: str) -> tuple[str, ...]:
        """Return the subjects whose limits bind an object of *owner*: as refusals and preflight write them."""
        name = owner or NOBODY
        account = name.removeprefix(_ACCOUNT).replace(":", "/")
        if name.startswith(_ACCOUNT) and account not in self.accounts:
            return (f"serviceaccounts/{account.partition('/')[0]}", f"namespace/{namespace}")
        return (f"user/{name}", f"namespace/{namespace}")

    def _entry(self, subject: str) -> Mapping[str, str]:
        kind, _, name = subject.partition("/")
        match kind:
            case "namespace":
                return self.namespaces.get(name, {})
            case "serviceaccounts":
                return self.account
        if name == NOBODY:
            return self.unattributed
        if name.startswith(_ACCOUNT):
            return self.accounts.get(name.removeprefix(_ACCOUNT).replace(":", "/"), {})
        return {**self.user, **self.users.get(name, {})}
