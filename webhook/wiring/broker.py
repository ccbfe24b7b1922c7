"""
What a quota broker changes, written where programs write the policy: judged there as every edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from webhook.admission.config_map_edit import without_advice
from webhook.documents.kept_policy import KeptPolicy, KeptPolicyError, KeptPolicyStore, PolicyRefusedError
from webhook.liquid.changes import changed
from webhook.liquid.confirmation import requires_confirmation
from webhook.liquid.offers import UNLIMITED, Offers
from webhook.liquid.ports import Decision
from webhook.liquid.requests import CommitmentRequest, RefusedError
from webhook.ports import UnavailableError
from webhook.quota.policy import Unlimited
from webhook.wiring.judged_edits import is_judged

_TRIES: Final = 10
"""Each failure means that another one has written: a command, or the same broker at another replica."""


class WrittenCommitments:
    """Port `CommitmentChanges`, over the stored policy."""

    def __init__(self, store: KeptPolicyStore) -> None:
        self._store = store

    async def change(self, request: CommitmentRequest, offers: Offers, tenants: Mapping[str, str]) -> Decision:
        """
        Make all changes, or none. See `CommitmentChanges`.

        Of a request that asks for nothing the broker does not read a rejection: if it cannot be stored all the same,
        that is an error, after which the broker asks again.
        """

        def change(kept: KeptPolicy) -> KeptPolicy:
            return KeptPolicy(changed(kept.commitments, request, offers, tenants), kept.quotas)

        try:
            await _write(self._store, change, dry_run=request.is_dry_run)
        except PolicyRefusedError as error:
            if requires_confirmation(request):
                return Decision(without_advice(str(error)))
            raise UnavailableError("commitments", f"the changes cannot be stored: {error}") from error
        return Decision()


class WrittenQuotas:
    """Port `BrokerQuotas`, over the stored policy."""

    def __init__(self, store: KeptPolicyStore) -> None:
        self._store = store

    async def of(self, tenant: str, offers: Offers) -> Mapping[str, int]:
        """Return the quotas of *tenant*. See `BrokerQuotas`."""
        stored = await _read(self._store)
        found: dict[str, int] = {}
        for name, hards in stored.quotas.get(tenant, {}).items():
            for resource, hard in hards.items():
                offer = offers.of(name, resource)
                if offer is not None:
                    found[offer.name] = UNLIMITED if isinstance(hard, Unlimited) else offer.at_most(hard)
        return found

    async def put(self, tenant: str, quotas: Mapping[str, int], offers: Offers) -> None:
        """Set the quotas of *tenant*. See `BrokerQuotas`."""

        def change(kept: KeptPolicy) -> KeptPolicy:
            classes = {name: dict(hards) for name, hards in kept.quotas.get(tenant, {}).items()}
            for name, units in quotas.items():
                offer = offers.by_name[name]
                classes.setdefault(offer.node_class, {})[offer.resource] = offer.exact(units)
            return KeptPolicy(kept.commitments, {**kept.quotas, tenant: classes} if classes else kept.quotas)

        try:
            await _write(self._store, change)
        except PolicyRefusedError as error:
            raise RefusedError(without_advice(str(error))) from error


async def _read(store: KeptPolicyStore) -> KeptPolicy:
    try:
        return (await store.read()).content
    except KeptPolicyError as error:
        raise UnavailableError("commitments", f"what is stored cannot be read: {error}") from error


async def _write(store: KeptPolicyStore, change: Callable[[KeptPolicy], KeptPolicy], *, dry_run: bool = False) -> None:
    """
    Store what *change* makes of what is stored, unless that is the same. Raises: PolicyRefusedError, UnavailableError.
    """
    try:
        for _ in range(_TRIES):
            stored = await store.read()
            content = change(stored.content)
            if content == stored.content:
                return
            if not await is_judged(store, stored):
                continue
            if await store.write(content, after=stored, annotations={}, dry_run=dry_run):
                return
    except KeptPolicyError as error:
        raise UnavailableError("commitments", f"what is stored cannot be read: {error}") from error
    raise UnavailableError("commitments", "the changes cannot be stored: others write all the time")
