"""
Builds the ledger of a cluster's webhook: shared by all replicas, or in the memory of one.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from webhook.kube.api import ApiError, KubernetesApi
from webhook.kube.events import ConfigMapEvent, EventWriter
from webhook.kube.ledger_config_map import NAME, LedgerConfigMap, LedgerWatch, StoredConfigMap
from webhook.kube.policy_maps import StoredPolicyMaps
from webhook.kube.reflector import Reflector
from webhook.ledger.codec import replica_name
from webhook.ledger.grants import Grants
from webhook.ledger.memory import MemoryLedger
from webhook.ledger.own_grant import VALID_FOR, Moment
from webhook.ledger.replica_view import ReplicaView
from webhook.ledger.shared import SharedLedger
from webhook.ledger.stored_ledger import StoredLedger
from webhook.ports import READY, Clock, Condition, LedgerStore, UnavailableError
from webhook.quota.reservation import LONGEST_REQUEST, SLOP
from webhook.quota.usage import UsageIndex
from webhook.registration import Registration
from webhook.serving.metrics import Metrics
from webhook.settings import LedgerKind, Settings
from webhook.wiring.application import Task


@dataclass(frozen=True, slots=True)
class BuiltLedger:
    """A ledger with its callbacks and tasks. `is_known`: it has been read once; `condition`: whether it can decide."""

    store: LedgerStore
    watch_moved: Callable[[], None]
    is_known: Callable[[], bool]
    condition: Callable[[], Condition]
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The dependencies of a ledger."""

    api: KubernetesApi
    settings: Settings
    clock: Clock
    api_time: Callable[[], float]
    index: UsageIndex
    metrics: Metrics
    events: EventWriter
    registration: Registration
    in_step: Callable[[], Condition]
    resources: Sequence[str]


def build_ledger(given: Surroundings) -> BuiltLedger:
    """Build the ledger that the settings name."""
    if given.settings.ledger is LedgerKind.MEMORY:
        return _in_memory(given)
    return _shared(given)


def _in_memory(given: Surroundings) -> BuiltLedger:
    ledger = MemoryLedger(
        given.index,
        monotonic=given.clock.monotonic,
        api_time=given.api_time,
        in_step=given.in_step,
        stored_policies=StoredPolicyMaps(given.api, namespace=given.settings.namespace),
    )
    return BuiltLedger(ledger, watch_moved=_ignore_watch, is_known=lambda: True, condition=lambda: READY)


def _shared(given: Surroundings) -> BuiltLedger:
    namespace = given.settings.namespace
    expiry_seconds, replica = LONGEST_REQUEST + SLOP, replica_name(secrets.token_hex(4))
    charged, new_token = given.resources, tokens(replica)
    grants = Grants(
        holder=replica,
        resources=charged,
        new_token=new_token,
        api_time=given.api_time,
        now=_moment,
        is_on=given.settings.grants,
    )

    def report_loss(why: str) -> None:
        given.metrics.ledger_lost()
        given.events.publish(ConfigMapEvent(NAME, "", "LedgerLost", f"the ledger is begun anew: {why}"))

    stored_ledger = StoredLedger(
        LedgerConfigMap(given.api, namespace=namespace),
        ReplicaView(given.index, charged=charged, new_token=new_token, grants=grants),
        replica=replica,
        rebuild_seconds=expiry_seconds + VALID_FOR,  # also without grants: other replicas may have some
        monotonic=given.clock.monotonic,
        api_time=given.api_time,
        new_epoch=lambda: secrets.token_hex(8),
        may_have_been_called=_check_of_earlier_calls(given.registration),
        on_access=given.metrics.ledger_accessed,
        on_lost=report_loss,
    )
    ledger = SharedLedger(
        given.index,
        stored_ledger,
        expiry_seconds=expiry_seconds,
        monotonic=given.clock.monotonic,
        in_step=given.in_step,
        charged=charged,
        stored_policies=StoredPolicyMaps(given.api, namespace=namespace),
        on_decided_in_memory=given.metrics.decided_in_memory,
    )
    watch = Reflector(
        given.api,
        f"/api/v1/namespaces/{namespace}/configmaps",
        StoredConfigMap,
        LedgerWatch(on_seen=ledger.on_event, on_gone=stored_ledger.on_deleted),
        query={"fieldSelector": f"metadata.name={NAME}"},
        resource="ledger",
    )
    return BuiltLedger(
        ledger,
        watch_moved=ledger.watch_moved,
        is_known=lambda: ledger.is_known,
        condition=ledger.condition,
        tasks=(watch.run,),
    )


_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock of Linux that counts on while the machine is suspended; that of others may not."""


def _moment() -> Moment:
    return Moment(time.clock_gettime(_SINCE_BOOT), time.time())


def tokens(replica: str) -> Callable[[], str]:
    """Return a source of tokens unique among all processes: the random name *replica* and a number."""
    numbers = itertools.count()
    return lambda: f"{replica}-{next(numbers):x}"


def _check_of_earlier_calls(registration: Registration) -> Callable[[], Awaitable[bool]]:
    async def may_have_been_called() -> bool:
        try:
            return await registration.may_have_been_called()
        except ApiError as error:
            raise UnavailableError("api-server", f"the webhook configurations cannot be read: {error}") from error

    return may_have_been_called


def _ignore_watch() -> None:
    """Ignore the event: the memory ledger does not wait for a watch."""
