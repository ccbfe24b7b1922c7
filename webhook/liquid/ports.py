"""
What the adapter of LIQUID needs of the outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from webhook.liquid.offers import Offers
from webhook.liquid.requests import CommitmentRequest


class InfoVersions(Protocol):
    """The version of the info, which all replicas share."""

    async def version_of(self, digest: str) -> int:
        """
        Return the version of the info that has this *digest*, see `info.digest_of`.

        It is the stored one if that is of the same digest, otherwise the next one, which is stored first.
        Raises: UnavailableError.
        """


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What became of a request to change commitments: it was made, or `rejected` says why not.

    `retry_at` is when another try may succeed, None if that is not known.
    """

    rejected: str = ""
    retry_at: datetime | None = None


class CommitmentChanges(Protocol):
    """Makes changes of commitments."""

    async def change(self, request: CommitmentRequest, offers: Offers, tenants: Mapping[str, str]) -> Decision:
        """
        Make all changes of *request*, or none; with `is_dry_run` none, and answer the same.

        The names of its resources are among *offers*, and *tenants* has the tenant of each of its projects. One that
        asks for nothing, see `requires_confirmation`, is not rejected. Raises: MalformedError, UnavailableError.
        """


class BrokerQuotas(Protocol):
    """The quotas that a broker has set for tenants."""

    async def of(self, tenant: str, offers: Offers) -> Mapping[str, int]:
        """
        Return the quotas of *tenant* in units, by the name of the resource; none for those that it has not set.

        Raises: UnavailableError.
        """

    async def put(self, tenant: str, quotas: Mapping[str, int], offers: Offers) -> None:
        """
        Set the quotas of *tenant*, whose names are among *offers*; the others stay as they are.

        Raises: UnavailableError, RefusedError for one below what is used.
        """
