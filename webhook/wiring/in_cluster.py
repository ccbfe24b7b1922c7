"""
The webhook of a cluster, from inside it or through a kubeconfig.
"""

from __future__ import annotations

import asyncio
import gc
from functools import partial

import structlog

from webhook import certificates
from webhook.admission.handler import AdmissionHandler
from webhook.attribution.rules import Attribution
from webhook.certificates import ServingIdentity
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.registry import PODS
from webhook.kube.api import KubernetesApi, NoConnectionError, ServerError, UnreachableError
from webhook.kube.events import ConfigMapEvent, Digest, EventWriter
from webhook.kube.identity_leases import read_renewals
from webhook.kube.ledger_config_map import NAME
from webhook.kube.namespaces import Namespace, NamespaceLabels
from webhook.kube.object_list import ObjectList
from webhook.kube.object_reads import ObjectReads
from webhook.kube.object_sink import ObjectSink
from webhook.kube.reflector import Reflector
from webhook.ledger.apiserver_leases import ApiServerLeases
from webhook.ledger.expiry import maintain_forever
from webhook.ledger.store_revision import RevisionCheck
from webhook.policy_source import POLICY_SELECTOR, CurrentPolicy, PolicyConfigMap, PolicyConfigMaps
from webhook.ports import READY, Condition, UnavailableError
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.usage import UsageIndex
from webhook.registration import Registration, ServiceForm, UrlForm, manifest_files, read_manifest
from webhook.serving.http_server import Health, HttpServer
from webhook.serving.metrics import Metrics
from webhook.settings import Settings
from webhook.wiring.application import Application, SystemClock, answers, callers, gauges, identity_in_files
from webhook.wiring.audit import Audit
from webhook.wiring.ledgers import BuiltLedger, Surroundings, build_ledger

log = structlog.get_logger(__name__)


async def build_in_cluster(settings: Settings) -> Application:
    """Give the application. Raises: KubeconfigError, CertificateError, ApiError, RegistrationError."""
    clock = SystemClock()
    api = await KubernetesApi.connect(kubeconfig=settings.kubeconfig, context=settings.context)
    try:
        identity = identity_in_files(settings, clock) or await _identity_in_secret(api, settings, clock)
        return _assemble(api, settings, clock, identity)
    except BaseException:
        await api.close()
        raise


_PATIENCE = 90.0
"""
Seconds, fewer than the start-up probe allows. An API server that stands still, or starts anew, is mostly back by then;
to end and be started again would take longer and longer.
"""

_PATIENCE_OF_PEOPLE = 10.0
"""Seconds, where nobody listens and somebody has named the address: it may be mistyped."""


async def _identity_in_secret(api: KubernetesApi, settings: Settings, clock: SystemClock) -> ServingIdentity:
    """Give the identity that all replicas' authority signs, waiting for an API server that is about to come back."""
    names = certificates.serving_names(settings.namespace, advertise_url=settings.advertise_url)
    begun = clock.monotonic()
    while True:
        try:
            return await certificates.from_secret(api, namespace=settings.namespace, names=names, clock=clock)
        except (UnreachableError, ServerError) as error:
            may_be_mistyped = settings.kubeconfig is not None and isinstance(error, NoConnectionError)
            if clock.monotonic() - begun > (_PATIENCE_OF_PEOPLE if may_be_mistyped else _PATIENCE):
                raise
            log.warning("the API server does not answer yet", why=str(error))
            await asyncio.sleep(1)


def _assemble(api: KubernetesApi, settings: Settings, clock: SystemClock, identity: ServingIdentity) -> Application:
    events = EventWriter(api, namespace=settings.namespace, clock=clock)
    watched = _Watched(api, settings, events)
    registration = _registration(api, settings, identity, watched.metrics)

    def in_step() -> Condition:
        return history.condition() if (known := pods.condition()).ok else known

    def count(trouble: UnavailableError) -> None:
        watched.metrics.count_error(trouble.reason)

    api_servers = ApiServerLeases(
        partial(read_renewals, api), monotonic=clock.monotonic, on_trouble=count, on_change=_log_leases
    )
    ledger = build_ledger(
        Surroundings(
            api, settings, clock, api_servers.time, watched.index, watched.metrics, events, registration, in_step
        )
    )
    pods = _ObjectWatch(api, settings, watched, ledger, events)
    reads = ObjectReads(api)
    history = RevisionCheck(
        partial(reads.store_version, PODS),
        seen=lambda: watched.index.position(PODS),
        monotonic=clock.monotonic,
        on_trouble=count,
    )
    listed = ObjectList(api, exempt=settings.exempt_namespaces)
    audit = Audit(watched.index, listed, reads, pods.relist, watched.metrics, events, asyncio.sleep)
    handler = AdmissionHandler(Attribution(reads, watched.policy), watched.policy, watched.labels, ledger.store, clock)
    health = Health(
        {
            "policy": watched.policy.condition,
            "namespaces": watched.namespaces_condition,
            "pods": pods.condition,
            "ledger": lambda: READY if ledger.is_known() else ledger.condition(),
            "registration": lambda: _expect(
                registration.registered, "registration", "the webhook configurations are not in place"
            ),
        },
        warnings={"ledger": ledger.condition, "history": history.condition, "api-servers": api_servers.condition},
    )

    async def maintain() -> None:
        await maintain_forever(
            ledger.store,
            reads,
            on_expired=watched.metrics.expired,
            on_trouble=count,
        )

    async def register() -> None:
        """Be called only once there is a ledger: who finds neither may then know that nothing is in flight."""
        while not ledger.is_known():  # noqa: ASYNC110 - at start only
            await asyncio.sleep(0.02)
        await registration.keep_registered()

    return Application(
        settings,
        HttpServer(answers(handler), health, watched.metrics, callers(settings, identity)),
        identity,
        watched.policy,
        tasks=(
            *watched.tasks,
            *pods.tasks,
            *ledger.tasks,
            maintain,
            history.run,
            api_servers.run,
            audit.run,
            events.run,
            register,
        ),
        close=api.close,
    )


def _log_leases(condition: Condition) -> None:
    if not condition.ok:
        log.warning("what is in flight may be held for longer", why=condition.message)
    else:
        log.info("all API servers renew their Leases again")


def _expect(holds: bool, reason: str, message: str) -> Condition:  # noqa: FBT001 - a claim and its opposite
    return READY if holds else Condition(ok=False, reason=reason, message=message)


_SILENCE = 130.0
"""Seconds. A quiet collection is first heard of after 120 (seen on 1.37.2), then each minute."""


class _Watched:
    """What is kept in step with the API and what follows from it: the policy, the labels of namespaces, the book."""

    def __init__(self, api: KubernetesApi, settings: Settings, events: EventWriter) -> None:
        self._events = events
        self.labels = NamespaceLabels(api, on_change=self._rebind)
        self.index = UsageIndex(accounts_under(Policy(), self.labels.known))
        self.policy = CurrentPolicy(on_change=self._rebind, on_mistakes=self._complain)
        self.metrics = Metrics(gauges(self.index, self.policy))
        self._maps = PolicyConfigMaps(self.policy, may_be_absent=settings.allow_no_policy)
        self._policies = Reflector(
            api,
            f"/api/v1/namespaces/{settings.namespace}/configmaps",
            PolicyConfigMap,
            self._maps,
            query={"labelSelector": POLICY_SELECTOR},
            resource="configmaps",
            silence=_SILENCE,
        )
        self._namespaces = Reflector(
            api, "/api/v1/namespaces", Namespace, self.labels, resource="namespaces", silence=_SILENCE
        )
        self.tasks = (self._policies.run, self._namespaces.run)

    def namespaces_condition(self) -> Condition:
        return _expect(self._namespaces.synced, "not-synced", "the namespaces are not all known yet")

    def are_accounts_known(self) -> bool:
        """Say whether it is known on whose accounts pods are booked."""
        return self._namespaces.synced and self.policy.condition().ok

    def _rebind(self, _: Policy | None = None) -> None:
        self.index.rebind(accounts_under(self.policy.state.policy or Policy(), self.labels.known))

    def _complain(self, mistakes: tuple[str, ...]) -> None:
        for mistake in mistakes:
            name = mistake.partition("/")[0]
            self._events.publish(ConfigMapEvent(name, self._maps.uid_of(name), "PolicyInvalid", mistake))


class _ObjectWatch:
    """The pods, kept in the book."""

    def __init__(
        self, api: KubernetesApi, settings: Settings, watched: _Watched, ledger: BuiltLedger, events: EventWriter
    ) -> None:
        self._watched = watched
        self._events = events
        self._unadmitted = Digest(self._tell_of_unadmitted)
        metrics = watched.metrics
        sink = ObjectSink(
            watched.index,
            exempt=settings.exempt_namespaces,
            on_settled=ledger.store.settled,
            on_reached=ledger.watch_moved,
            on_uncountable=lambda: metrics.count_error("uncountable"),
            on_unadmitted=self._note_unadmitted,
        )
        metrics.add_gauges(lambda: {"unadmitted_pods": sink.unadmitted})
        self._pods = Reflector(
            api,
            "/api/v1/pods",
            Pod,
            sink,
            resource="pods",
            silence=_SILENCE,
            on_restart=lambda cause: metrics.count_error(f"watch-{cause}"),
            undecodable=sink.undecodable,
        )
        self.relist = self._pods.relist
        self.tasks = (self._watch, self._freeze_when_synced, self._unadmitted.run)

    def condition(self) -> Condition:
        return _expect(self._pods.synced, "not-synced", "the pods are not all known yet")

    def _note_unadmitted(self, key: ObjectKey) -> None:
        self._watched.metrics.unadmitted_pod_seen()
        self._unadmitted.add(f"{key.namespace}/{key.name}")

    def _tell_of_unadmitted(self, count: int, names: str) -> None:
        message = f"pods made past userquota, which count all the same: {count} ({names})"
        self._events.publish(ConfigMapEvent(NAME, "", "UnadmittedUsage", message))

    async def _watch(self) -> None:
        """Begin after the namespaces: accounts worked out before their labels are known are worked out twice."""
        while not self._watched.are_accounts_known():  # noqa: ASYNC110 - at start only
            await asyncio.sleep(0.02)
        await self._pods.run()

    async def _freeze_when_synced(self) -> None:
        """Have the garbage collector leave the index alone: with 300 000 records its pauses fall from 27 ms to 2."""
        while not self._pods.synced:  # noqa: ASYNC110 - at start only
            await asyncio.sleep(0.1)
        gc.collect()
        gc.freeze()


def _registration(api: KubernetesApi, settings: Settings, identity: ServingIdentity, metrics: Metrics) -> Registration:
    manifests = [read_manifest(body) for body in manifest_files.webhook_configurations()]

    def bundle() -> bytes:
        return identity.ca_bundle

    form: ServiceForm | UrlForm = ServiceForm(manifests, bundle)
    if settings.advertise_url:
        form = UrlForm(manifests, bundle, settings.advertise_url)
    return Registration(api, form, on_drift=lambda _: metrics.count_error("registration-drift"))
