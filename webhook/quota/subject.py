"""
Who pays, and whom a limit binds. How the payer of a request is found lies in `admission.attribution`.
"""

from __future__ import annotations

from typing import NamedTuple, NewType

Subject = NewType("Subject", str)
"""`user/<name>`, `group/<name>`, `tenant/<name>`, `namespace/<name>` or `cluster`."""

CLUSTER = Subject("cluster")

UNATTRIBUTED = "system:unattributed"
"""
The owner of objects that nobody was found to pay for: older than the installation, or made past the webhook.

No person has this name: the API server's authenticators leave `system:` names to the system.
"""

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


class Payer(NamedTuple):
    """The owner who pays for an object, and the groups the owner was in when the object was made, sorted."""

    owner: str
    groups: tuple[str, ...] = ()

    @property
    def is_service_account(self) -> bool:
        """Say whether the owner is a service account."""
        return self.owner.startswith(SERVICE_ACCOUNT_PREFIX)


NOBODY = Payer(UNATTRIBUTED)


def user(name: str) -> Subject:
    """Give the subject of one owner, person or service account."""
    return Subject(f"user/{name}")


def group(name: str) -> Subject:
    """Give the subject of a group's shared pool."""
    return Subject(f"group/{name}")


def tenant(name: str) -> Subject:
    """Give the subject of a set of namespaces."""
    return Subject(f"tenant/{name}")


def namespace(name: str) -> Subject:
    """Give the subject of one namespace."""
    return Subject(f"namespace/{name}")
