"""
Builds the webhook of a cluster, connected from inside it or through a kubeconfig.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

import structlog

from webhook import certificates
from webhook.admission.advice import WorkloadAdvice
from webhook.admission.handler import AdmissionHandler
from webhook.admission.policy_edits import PolicyEdits
from webhook.attribution.rules import Attribution
from webhook.certificates import ServingIdentity
from webhook.kinds.pods import PODS, PodEvaluator
from webhook.kinds.registry import KINDS, Registry
from webhook.kube.access import CallersRights, HandoverRights
from webhook.kube.api import KubernetesApi, NoConnectionError, ServerError, UnreachableError
from webhook.kube.denial_events import DenialEvents
from webhook.kube.discovery import discover
from webhook.kube.events import ConfigMapEvent, EventWriter
from webhook.kube.identity_leases import read_renewals
from webhook.kube.ledger_config_map import NAME as LEDGER
from webhook.kube.limit_ranges import LimitRangeReads
from webhook.kube.object_list import ObjectList
from webhook.kube.object_reads import ObjectReads
from webhook.kube.pod_classes import PodClassReads
from webhook.kube.policy_maps import StoredPolicyMaps
from webhook.kube.workload_pods import WorkloadPods
from webhook.ledger.apiserver_leases import ApiServerLeases
from webhook.ledger.maintenance import maintain_forever
from webhook.ledger.store_revision import RevisionCheck
from webhook.ports import READY, Condition, QuorumReader, UnavailableError
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.usage import UsageIndex
from webhook.registration import (
    ApiServiceBundle,
    Exemptions,
    Registration,
    ServiceForm,
    UrlForm,
    api_service,
    default_exemptions,
    installed_in,
    manifest_files,
    watches,
)
from webhook.serving.http_server import Health, HttpServer
from webhook.serving.metrics import Metrics
from webhook.serving.pool_series import PoolSeries
from webhook.settings import Settings
from webhook.wiring.application import (
    Application,
    OrderedClock,
    SystemClock,
    answers,
    callers,
    identity_in_files,
    policy_remarks,
    show_process,
)
from webhook.wiring.audit import Audit
from webhook.wiring.capacity_notices import CapacityNotices
from webhook.wiring.charged_objects import ChargedObjects
from webhook.wiring.known_pools import KnownPools
from webhook.wiring.ledgers import Surroundings, build_ledger
from webhook.wiring.liquid import build_liquid
from webhook.wiring.live_check import LiveCheck
from webhook.wiring.policy_edits import EditEvents, IndexedUsage
from webhook.wiring.policy_kinds import PolicyKinds
from webhook.wiring.quota_metrics import QuotaMetrics
from webhook.wiring.view import Views, build_view
from webhook.wiring.watched_policy import WatchedPolicy
from webhook.wiring.watched_workloads import WatchedWorkloads

log = structlog.get_logger(__name__)


async def build_in_cluster(settings: Settings) -> Application:
    """Build the application. Raises: KubeconfigError, CertificateError, ApiError, RegistrationError."""
    clock = SystemClock()
    api = await KubernetesApi.connect(kubeconfig=settings.kubeconfig, context=settings.context)
    try:
        identity = identity_in_files(settings, clock) or await _identity_in_secret(api, settings, clock)
        return _assemble(api, settings, clock, identity)
    except BaseException:
        await api.close()
        raise


_API_SERVER_WAIT = 90.0
"""
Seconds, fewer than the start-up probe allows. An API server that hangs or restarts is usually back by then; exiting
instead would add the growing delay between restarts of the container.
"""

_KUBECONFIG_WAIT = 10.0
"""Seconds, if nothing ever listened at an address from a kubeconfig: it may be mistyped."""


async def _identity_in_secret(api: KubernetesApi, settings: Settings, clock: SystemClock) -> ServingIdentity:
    """Return an identity signed by the authority that all replicas share. Waits for an API server that restarts."""
    names = certificates.serving_names(settings.namespace, advertise_url=settings.advertise_url)
    started = clock.monotonic()
    may_be_mistyped = settings.kubeconfig is not None
    while True:
        try:
            return await certificates.from_secret(api, namespace=settings.namespace, names=names, clock=clock)
        except (UnreachableError, ServerError) as error:
            may_be_mistyped = may_be_mistyped and isinstance(error, NoConnectionError)
            if clock.monotonic() - started > (_KUBECONFIG_WAIT if may_be_mistyped else _API_SERVER_WAIT):
                raise
            log.warning("the API server does not answer yet", why=str(error))
            await asyncio.sleep(1)


def _assemble(api: KubernetesApi, settings: Settings, clock: SystemClock, identity: ServingIdentity) -> Application:
    events, denials, edit_events = _tellers(api, settings, clock)
    pods = PodEvaluator()  # of its own: a policy may say which pods are sessions
    kinds = Registry(*(replace(each, evaluator=pods) if each is PODS else each for each in KINDS))

    watched_workloads = WatchedWorkloads(api, kinds)
    policy_kinds = PolicyKinds(kinds, pods, discover=partial(discover, api), workloads=watched_workloads)
    reads = ObjectReads(api, kinds)
    watched = WatchedPolicy(
        api, settings, events, clock, on_policy=policy_kinds.limit, store_version=reads.store_version
    )
    policy_kinds.report_to(watched.publish_without_effect)
    index, metrics = watched.index, watched.metrics
    manifests = [installed_in(each, settings.namespace) for each in manifest_files.webhook_manifests()]

    def relist() -> None:
        """List the objects again. `objects` exists by then: its watches start only once the exemptions are known."""
        objects.relist_all()

    def changed(told: str) -> None:
        metrics.count_error("registration-drift")
        events.publish(ConfigMapEvent(LEDGER, "", "WebhooksChanged", told))

    exemptions = Exemptions(default_exemptions(manifests), on_change=relist)
    registration = Registration(
        api,
        UrlForm(manifests, settings.advertise_url) if settings.advertise_url else ServiceForm(manifests),
        identity,
        on_drift=lambda _: metrics.count_error("registration-drift"),
        on_read=exemptions.update,
        counted=policy_kinds.resources,
        monotonic=clock.monotonic,
        on_view_error=lambda: metrics.count_error("view-bundle"),
        repairs=settings.repair_webhooks,
        on_change=changed,
        view=_api_services(api, settings, clock),
    )

    def count(error: UnavailableError) -> None:
        metrics.count_error(error.reason)

    revision = RevisionCheck(
        reads.store_version,
        seen=lambda: max(index.position(kind.resource) for kind in kinds.charged),
        monotonic=clock.monotonic,
        on_error=count,
    )
    api_servers = ApiServerLeases(
        partial(read_renewals, api), monotonic=clock.monotonic, on_error=count, on_change=_log_leases
    )
    objects = ChargedObjects(
        api,
        kinds,
        index,
        exempt=exemptions,
        now=lambda: watched.counting_time(clock.now()),
        sessions_of=watched.sessions_of,
        workloads=watched_workloads.workloads,
        tagging=policy_kinds.tagging,
        may_start=lambda: watched.are_accounts_known() and exemptions.is_known,
        store_version=reads.store_version,
        metrics=metrics,
        events=events,
    )

    policy_kinds.connect(objects, on_known=registration.wake)

    def in_step() -> Condition:
        return revision.condition() if (known := objects.condition()).ok else known

    ledger = build_ledger(
        Surroundings(
            api,
            settings,
            clock,
            api_servers.time,
            index,
            metrics,
            events,
            registration,
            in_step,
            objects.resources,
        )
    )
    objects.connect(on_settled=ledger.store.settled, on_reached=ledger.watch_moved)
    watched.connect(ledger.store)
    ordered_clock = OrderedClock(clock, ledger.store)
    attribution = Attribution(reads, watched.labels, watched.policy, rights=HandoverRights(api), kinds=kinds)

    def require_known(resource: str, *, is_session: bool = False) -> None:
        """Check that all that counts together with *resource* is known. Raises: UnavailableError."""
        watched.groups.require_known()
        objects.require_known(resource)
        policy_kinds.require_autoscalers()
        if is_session:
            policy_kinds.require_sessions()

    names = _KnownNames(index, reads, require_known)
    filled = LimitRangeReads(api, monotonic=clock.monotonic), PodClassReads(api, monotonic=clock.monotonic)
    workload_pods = WorkloadPods(api, reads, kinds)
    handler = AdmissionHandler(
        attribution,
        watched.policy,
        watched.labels,
        ledger.store,
        ordered_clock,
        names,
        *filled,
        workload_pods,
        reads,
        kinds,
        watched.nodes,
        ledger.store,
        on_exceeded=metrics.exceeded,
        on_denied=denials.record,
    )
    advice = WorkloadAdvice(
        attribution.users,
        reads,
        workload_pods,
        watched.policy,
        watched.labels,
        ledger.store,
        clock,
        names,
        *filled,
        kinds,
        watched.nodes,
        on_untold=partial(_count_untold, metrics),
    )
    edits = PolicyEdits(
        settings.namespace,
        watched.maps,
        watched.policy,
        watched.labels,
        IndexedUsage(index, watched.groups, (in_step, ledger.condition), policy_kinds.is_counted, watched.nodes.known),
        ledger.store,
        reads,
        ordered_clock,
        StoredPolicyMaps(api, namespace=settings.namespace),
        exempt=exemptions.current,
        reports=edit_events,
        is_ending=partial(watched.labels.is_being_deleted, settings.namespace),
    )
    known_pools = KnownPools(
        watched.policy,
        index,
        watched.labels.known,
        clock,
        watched.nodes,
        conditions=(objects.condition, watched.namespaces_condition),
    )
    metrics.add(PoolSeries(known_pools.standings))
    capacity_notices = CapacityNotices(known_pools, watched.maps.uid_of, events.tell_once, clock)
    health = Health(
        {
            "policy": watched.policy.condition,
            "namespaces": watched.namespaces_condition,
            "device-classes": watched.device_classes_condition,
            "objects": objects.condition,
            "ledger": lambda: READY if ledger.is_known() else ledger.condition(),
            "registration": registration.condition,
        },
        warnings={
            "policy": watched.policy.text_condition,
            "policy-notes": policy_remarks(watched.policy, clock, index, exemptions.current).condition,
            "ledger": ledger.condition,
            "history": revision.condition,
            "api-servers": api_servers.condition,
            "exemptions": exemptions.condition,
            "kinds": objects.served_condition,
            "counts": policy_kinds.condition,
            "groups": watched.groups.condition,
            "nodes": watched.nodes.condition,
            "capacity": known_pools.condition,
            "uncounted": objects.uncounted_condition,
            "view": lambda: view.condition() if view else READY,
            "liquid": lambda: view.liquid_condition() if view else READY,
            "view-bundle": registration.view_condition,
            "registration-drift": registration.fields_condition,
        },
    )
    view = build_view(
        api,
        settings,
        identity,
        Views(
            watched.policy,
            index,
            watched.labels,
            LiveCheck(handler, advice, index, exemptions, CallersRights(api), clock),
            clock=clock,
            conditions=(*health.checks.values(), watched.groups.condition),
            resources=lambda: objects.resources,
            capacity=watched.nodes,
            tagged=objects.tagged_condition,
        ),
        metrics,
        build_liquid(
            api,
            settings,
            clock,
            watched.policy,
            index,
            conditions=(*health.checks.values(), watched.groups.condition),
            capacity=watched.nodes,
        ),
    )

    show_process(metrics, health, identity)
    quotas = QuotaMetrics(
        watched.policy,
        index,
        watched.labels.known,
        metrics,
        clock,
        settings.metrics_subjects,
        conditions=(*health.checks.values(), watched.groups.condition),
    )

    return Application(
        settings,
        HttpServer(answers(handler, advice, edits), health, metrics, callers(settings, identity)),
        identity,
        watched.policy,
        tasks=(
            *watched.tasks,
            *objects.tasks,
            policy_kinds.run,
            watched_workloads.run,
            *ledger.tasks,
            partial(maintain_forever, ledger.store, reads, on_expired=metrics.expired, on_error=count),
            revision.run,
            api_servers.run,
            Audit(
                index,
                objects.resources,
                ObjectList(api, kinds=kinds, exempt=exemptions),
                reads,
                objects.relist,
                metrics,
                events,
                asyncio.sleep,
            ).run,
            events.run,
            denials.run,
            edit_events.run,
            capacity_notices.run,
            quotas.run,
            partial(_register, registration, ledger.is_known),
            *(watch.run for watch in watches(api, manifests, registration.wake)),
            *(view.tasks if view else ()),
        ),
        close=api.close,
        view=view,
        give_back=ledger.store.give_back,
    )


def _tellers(
    api: KubernetesApi, settings: Settings, clock: SystemClock
) -> tuple[EventWriter, DenialEvents, EditEvents]:
    """Return what writes Events: one at a time, of denials, and of edits of the policy."""
    events = EventWriter(api, namespace=settings.namespace, clock=clock)
    edits = EditEvents(events, namespace=settings.namespace, clock=clock)
    return events, DenialEvents(events.add, clock=clock), edits


def _api_services(api: KubernetesApi, settings: Settings, clock: SystemClock) -> ApiServiceBundle | None:
    """Return what keeps the caBundles of the APIServices of what is served."""
    if settings.view_host is None:
        return None
    names = api_service.NAMES if settings.liquid else (api_service.NAME,)
    return ApiServiceBundle(api, names=names, monotonic=clock.monotonic)


async def _register(registration: Registration, is_ledger_known: Callable[[], bool]) -> None:
    """
    Read the exempt namespaces, which the watches of objects wait for; register once the ledger exists.

    In this order a missing ledger and an empty caBundle mean a fresh installation.
    """
    await registration.wait_until_read()
    while not is_ledger_known():  # noqa: ASYNC110 - at start only
        await asyncio.sleep(0.02)
    await registration.keep_registered()


def _count_untold(metrics: Metrics, error: UnavailableError) -> None:
    metrics.count_error(error.reason)
    log.warning("no early verdict on a workload", reason=str(error))


def _log_leases(condition: Condition) -> None:
    if not condition.ok:
        log.warning("not every API server is seen to renew its Lease", why=condition.message)
    else:
        log.info("all API servers renew their Leases again")


class RequireKnown(Protocol):
    """Checks what has to be known before an object is created: see `NameHolders.require_known`."""

    def __call__(self, resource: str, *, is_session: bool = False) -> None:
        """Raises: UnavailableError."""


class _KnownNames:
    """Port `NameHolders`: reads the store only for keys under which the usage index has an object."""

    def __init__(self, index: UsageIndex, quorum: QuorumReader, require_known: RequireKnown) -> None:
        self._index = index
        self._quorum = quorum
        self.require_known = require_known

    async def holder(self, key: ObjectKey) -> StoredVersion | None:
        self.require_known(key.resource)
        return None if self._index.row(key) is None else await self._quorum.version_of(key)
