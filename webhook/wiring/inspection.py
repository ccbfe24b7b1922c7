"""
Reads the shared ledger and the stored objects live from the API, for `userquota get --drift`.

Read-only, and without a call to any replica.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from webhook.attribution.handover import Family
from webhook.attribution.stamp import read_stamp
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import KINDS
from webhook.kube.api import ApiError, KubernetesApi
from webhook.kube.discovery import UnsuitableKindError, discover
from webhook.kube.ledger_config_map import LedgerConfigMap
from webhook.kube.object_list import ObjectList
from webhook.ledger.codec import LedgerDamagedError, NewerFormatError, read_ledger
from webhook.ledger.protocol import Ledger
from webhook.ledger.reservation_status import ReservationStatus, status_of
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.reservation import Reservation
from webhook.registration import RegistrationError, manifest_files, read_live_exemptions
from webhook.settings import Settings

_SETTLED_WITHIN = 5.0
"""Seconds. A working replica settles a stored reservation within one; after this time no replica will."""


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation of the ledger and its status. `is_late`: it should have been settled by now."""

    token: str
    reservation: Reservation
    status: ReservationStatus
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Inspection:
    """
    The result of an inspection. `ledger` is None if it could not be read.

    `condition` is `ok`, `absent`, `damaged: ...`, `newer format: ...` or `rebuilding`. `unadmitted` are the
    counted objects without a stamp: created without a call of the webhook, or older than the installation.
    """

    condition: str
    ledger: Ledger | None
    held: tuple[Held, ...]
    unadmitted: Mapping[ObjectKey, StoredVersion]

    @property
    def is_in_order(self) -> bool:
        """Whether the ledger is `ok` and no reservation is late. Unstamped objects are counted, thus no drift."""
        return self.condition == "ok" and not any(each.is_late for each in self.held)


async def inspect_ledger(settings: Settings) -> Inspection:
    """
    Inspect the cluster in *settings*; again after five seconds if a reservation should be settled by then.

    Raises: KubeconfigError; UnavailableError if the API cannot be read.
    """
    api = await KubernetesApi.connect(kubeconfig=settings.kubeconfig, context=settings.context)
    try:
        ledger = LedgerConfigMap(api, namespace=settings.namespace)
        lists = ObjectList(api, kinds=KINDS, exempt=await _exempt_namespaces(api))
        kind_of = partial(_kind, api)
        first = await _inspect_once(ledger, lists, kind_of, late=frozenset())
        stored = frozenset(each.token for each in first.held if each.status is ReservationStatus.STORED)
        if not stored:
            return first
        await asyncio.sleep(_SETTLED_WITHIN)
        return await _inspect_once(ledger, lists, kind_of, late=stored)
    finally:
        await api.close()


class Unattributed(NamedTuple):
    """An object that nobody is known to own, and the workload on top that it was made for, if it is another one."""

    key: ObjectKey
    made_for: str


async def list_unattributed(settings: Settings) -> tuple[Unattributed, ...]:
    """
    Return the objects that nobody is known to own, of all kinds that carry an owner, sorted.

    They are older than the installation, or were made by a controller for such an object, or past the webhook.
    Raises: KubeconfigError; UnavailableError if the API cannot be read.
    """
    api = await KubernetesApi.connect(kubeconfig=settings.kubeconfig, context=settings.context)
    try:
        lists = ObjectList(api, kinds=KINDS, exempt=await _exempt_namespaces(api))
        found = [(kind, meta) for kind in KINDS if kind.is_stamped for meta in (await lists.read(kind)).objects]
    finally:
        await api.close()
    listed = (
        Unattributed(each.key, "" if top is each else f"{top.kind.kind} {top.meta.name}")
        for each, top in Family(found).unowned()
    )
    return tuple(sorted(listed))


async def _exempt_namespaces(api: KubernetesApi) -> frozenset[str]:
    manifests = manifest_files.webhook_manifests()
    try:
        return await read_live_exemptions(api, manifests)
    except (ApiError, RegistrationError) as error:
        raise UnavailableError("api-server", f"the webhook configurations could not be read: {error}") from error


async def _kind(api: KubernetesApi, resource: str) -> AnyKind | None:
    """Return the kind of *resource*, which the ledger names; None if the API does not serve it any more."""
    try:
        return KINDS.of_resource(resource) or await discover(api, resource)
    except UnsuitableKindError:
        return None


async def _inspect_once(
    config_map: LedgerConfigMap,
    lists: ObjectList,
    kind_of: Callable[[str], Awaitable[AnyKind | None]],
    *,
    late: frozenset[str],
) -> Inspection:
    """Inspect once, the ledger first: its reservations may be stored and settled before the objects are listed."""
    condition, ledger = await read_condition(config_map)
    stored: dict[ObjectKey, StoredVersion] = {}
    unadmitted: dict[ObjectKey, StoredVersion] = {}
    resources = {kind.resource for kind in KINDS.charged}
    resources |= {each.key.resource for each in ledger.reservations.values()} if ledger is not None else set()
    for kind in [kind for resource in sorted(resources) if (kind := await kind_of(resource)) is not None]:
        listed = await lists.read(kind)
        stored |= listed.by_key()
        unstamped = tuple(each for each in listed.objects if read_stamp(each) is None)
        unadmitted |= replace(listed, objects=unstamped).by_key()
    held = () if ledger is None else _held(ledger, stored, late)
    return Inspection(condition, ledger, held, unadmitted)


async def read_condition(config_map: LedgerConfigMap) -> tuple[str, Ledger | None]:
    """Return the condition of the ledger, see `Inspection`, and the ledger itself. Raises: UnavailableError."""
    stored = await config_map.read()
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
