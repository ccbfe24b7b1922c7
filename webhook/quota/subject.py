"""
Payers, and the subjects that limits bind. `attribution.rules` finds the payer of a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, NewType

from webhook.quota.scopes import Scopes, Selector

Subject = NewType("Subject", str)
"""
`user/<name>`, `serviceaccounts/<namespace>`, `group/<name>`, `tenant/<name>`, `namespace/<name>` or `cluster`; with
`[<selector>]` before it, which no name can imitate, only the objects that the selector selects.
"""

CLUSTER = Subject("cluster")

UNATTRIBUTED = "system:unattributed"
"""
The owner of objects without a known payer: older than the installation, or created without a call of the webhook.

No person has this name: the API server's authenticators reserve `system:` names for the system.
"""

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"

AUTHENTICATED = "system:authenticated"
_ACCOUNTS = "system:serviceaccounts"

KUBE_SCHEDULER = "system:kube-scheduler"


def controller(name: str) -> str:
    """Return the username of a controller of kube-controller-manager that has an account of its own."""
    return f"{SERVICE_ACCOUNT_PREFIX}kube-system:{name}"


def groups_of(name: str, groups: Iterable[str]) -> tuple[str, ...]:
    """Return *groups* with those that the API server gives to a service account *name*."""
    if not name.startswith(SERVICE_ACCOUNT_PREFIX):
        return tuple(groups)
    namespace = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")[0]
    return tuple(dict.fromkeys((*groups, _ACCOUNTS, f"{_ACCOUNTS}:{namespace}")))


class Payer(NamedTuple):
    """The owner that pays for an object, and the groups the owner was in when the object was created, sorted."""

    owner: str
    groups: tuple[str, ...] = ()

    @property
    def is_service_account(self) -> bool:
        """Whether the owner is a service account."""
        return self.owner.startswith(SERVICE_ACCOUNT_PREFIX)


NOBODY = Payer(UNATTRIBUTED)


class Account(NamedTuple):
    """What is charged together: the payer of an object, and the scopes that the object is in."""

    payer: Payer
    scopes: Scopes = ()


def scoped(subject: Subject, selector: Selector) -> Subject:
    """Return the subject of only those objects of *subject* that *selector* selects."""
    return Subject(f"[{selector}] {subject}")


def unscoped(whom: Subject) -> Subject:
    """Return *whom* without the selector before it."""
    return Subject(whom.partition("] ")[2]) if whom.startswith("[") else whom


def selector_of(whom: Subject) -> str:
    """Return the selector before *whom*, empty if all its objects count."""
    return whom.partition("] ")[0].removeprefix("[") if whom.startswith("[") else ""


def user(name: str) -> Subject:
    """Return the subject of one owner, person or service account."""
    return Subject(f"user/{name}")


def service_accounts_with(owner: str) -> Subject:
    """Return the subject of all service accounts, taken together, of the namespace of the account *owner*."""
    return Subject(f"serviceaccounts/{owner.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(':')[0]}")


def group(name: str) -> Subject:
    """Return the subject of a group's shared pool."""
    return Subject(f"group/{name}")


def tenant(name: str) -> Subject:
    """Return the subject of a set of namespaces."""
    return Subject(f"tenant/{name}")


def namespace(name: str) -> Subject:
    """Return the subject of one namespace."""
    return Subject(f"namespace/{name}")
