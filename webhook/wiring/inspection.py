"""
A look at the shared ledger and at what is really stored, live from the API: what `userquota get --drift` prints.

Nothing is changed, and no replica is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from webhook.attribution.stamp import read_stamp
from webhook.kinds.registry import KINDS
from webhook.kube.api import ApiError, KubernetesApi
from webhook.kube.ledger_config_map import LedgerConfigMap
from webhook.kube.object_list import ObjectList
from webhook.ledger.codec import LedgerDamagedError, NewerFormatError, read_ledger
from webhook.ledger.protocol import Ledger
from webhook.ledger.reservation_status import ReservationStatus, status_of
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.reservation import Reservation
from webhook.registration import RegistrationError, manifest_files, read_live_exemptions, read_manifest
from webhook.settings import Settings

_SETTLED_WITHIN = 5.0
"""Seconds. A replica writes within one that something was stored; more than this and nobody does."""


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation of the ledger, and what became of it. `is_late`: it should have been settled by now."""

    token: str
    reservation: Reservation
    status: ReservationStatus
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Inspection:
    """
    What was found. `ledger` is None unless it could be read.

    `condition` is `ok`, `absent`, `damaged: ...`, `newer format: ...` or `rebuilding`. `unadmitted` are the objects
    that count and carry no stamp: made past us, or older than the installation.
    """

    condition: str
    ledger: Ledger | None
    held: tuple[Held, ...]
    unadmitted: Mapping[ObjectKey, StoredVersion]

    @property
    def is_in_order(self) -> bool:
        """Whether nothing is wrong. Pods without a stamp are counted like all others, so that they are no drift."""
        return self.condition == "ok" and not any(each.is_late for each in self.held)


async def inspect_ledger(settings: Settings) -> Inspection:
    """
    Look at the cluster that *settings* name; a second time after five seconds where something ought to be settled soon.

    Raises: KubeconfigError; UnavailableError if the API cannot be read.
    """
    api = await KubernetesApi.connect(kubeconfig=settings.kubeconfig, context=settings.context)
    try:
        ledger = LedgerConfigMap(api, namespace=settings.namespace)
        lists = ObjectList(api, kinds=KINDS, exempt=await _exempt(api))
        first = await _look(ledger, lists, late=frozenset())
        stored = frozenset(each.token for each in first.held if each.status is ReservationStatus.STORED)
        if not stored:
            return first
        await asyncio.sleep(_SETTLED_WITHIN)
        return await _look(ledger, lists, late=stored)
    finally:
        await api.close()


async def _exempt(api: KubernetesApi) -> frozenset[str]:
    manifests = [read_manifest(body) for body in manifest_files.webhook_configurations()]
    try:
        return await read_live_exemptions(api, manifests)
    except (ApiError, RegistrationError) as error:
        raise UnavailableError("api-server", f"the webhook configurations could not be read: {error}") from error


async def _look(stored_in: LedgerConfigMap, lists: ObjectList, *, late: frozenset[str]) -> Inspection:
    """Look once, at the ledger first: what it holds may be stored and settled before the pods are listed."""
    condition, ledger = await _read(stored_in)
    stored: dict[ObjectKey, StoredVersion] = {}
    unadmitted: dict[ObjectKey, StoredVersion] = {}
    for kind in KINDS.charged:
        listed = await lists.read(kind)
        stored |= listed.by_key()
        unstamped = tuple(each for each in listed.objects if read_stamp(each) is None)
        unadmitted |= replace(listed, objects=unstamped).by_key()
    held = () if ledger is None else _held(ledger, stored, late)
    return Inspection(condition, ledger, held, unadmitted)


async def _read(stored_in: LedgerConfigMap) -> tuple[str, Ledger | None]:
    stored = await stored_in.read()
    if stored is None:
        return "absent", None
    try:
        ledger = read_ledger(stored.text, uid=stored.uid)
    except LedgerDamagedError as error:
        return f"damaged: {error}", None
    except NewerFormatError as error:
        return f"newer format: {error}", None
    return "ok" if ledger.is_open else "rebuilding", ledger


def _held(ledger: Ledger, stored: Mapping[ObjectKey, StoredVersion], late: frozenset[str]) -> tuple[Held, ...]:
    statuses = {token: status_of(each, stored) for token, each in ledger.reservations.items()}
    return tuple(
        Held(token, each, statuses[token], is_late=token in late and statuses[token] is ReservationStatus.STORED)
        for token, each in ledger.reservations.items()
    )
