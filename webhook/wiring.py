"""
Builds every adapter once and hands it on: the only module that knows them all. What runs in production is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from webhook import reconcile
from webhook.adapters import certificates, manifest_files
from webhook.adapters.certificates import ServingIdentity
from webhook.adapters.cluster_reads import ClusterReads
from webhook.adapters.events import ConfigMapEvent, EventWriter
from webhook.adapters.http_server import Answer, Health, HttpServer
from webhook.adapters.kubernetes_api import KubernetesApi
from webhook.adapters.ledger_memory import BelievingLedger, MemoryLedger
from webhook.adapters.metrics import Metrics
from webhook.adapters.namespace_watch import Namespace, NamespaceLabels
from webhook.adapters.pod_watch import PodSink
from webhook.adapters.policy_source import POLICY_SELECTOR, CurrentPolicy, PolicyConfigMap, PolicyConfigMaps, read_files
from webhook.adapters.reflector import Reflector
from webhook.adapters.registration import Registration, ServiceForm, UrlForm, read_manifest
from webhook.adapters.standalone_cluster import StandaloneCluster
from webhook.adapters.system_clock import SystemClock
from webhook.admission.attribution import Attribution
from webhook.admission.handler import AdmissionHandler
from webhook.admission.kinds import PODS
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.ports import Ancestry, LedgerStore, Namespaces, PolicySource
from webhook.quota.book import Book
from webhook.quota.errors import WebhookError
from webhook.quota.podspec import Pod
from webhook.quota.policy import Policy
from webhook.settings import Settings

log = structlog.get_logger(__name__)

Task = Callable[[], Awaitable[object]]


class PolicyFileError(WebhookError):
    """A policy file that cannot be used at start. Every mistake is a line of its own."""


@dataclass(slots=True)
class Application:
    """Everything of one process, built and not yet running."""

    settings: Settings
    server: HttpServer
    health: Health
    identity: ServingIdentity
    tasks: tuple[Task, ...]
    policy: CurrentPolicy
    close: Callable[[], Awaitable[None]]

    async def run(self, stop: asyncio.Event, *, on_listening: Callable[[int], None]) -> None:
        """
        Listen, work until *stop* is set, drain, end. *on_listening* hears the port.

        Raises: OSError if the port is taken; what a background task cannot get over.
        """
        try:
            port = await self.server.start(self.settings.host, self.settings.port, self.identity.context)
            on_listening(port)
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(_forever(task)) for task in (*self.tasks, self.identity.keep_fresh)]
                await stop.wait()
                await self.server.drain(self.settings.drain)
                for task in running:
                    task.cancel()
        finally:
            await self.close()


async def _forever(task: Task) -> None:
    await task()


async def build(settings: Settings) -> Application:
    """
    Give the application for *settings*.

    Raises: WebhookError with one line that says what is wrong and what to do.
    """
    return _build_standalone(settings) if settings.standalone else await _build_in_cluster(settings)


def _build_standalone(settings: Settings) -> Application:
    clock = SystemClock()
    cluster = StandaloneCluster()
    book = Book(reconcile.binding(Policy(), cluster.known))
    policy = CurrentPolicy(
        on_change=lambda new: book.rebind(reconcile.binding(new, cluster.known)), on_mistakes=lambda _: None
    )
    try:
        reading = policy.take(read_files(settings.policy))
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyFileError(f"the policy cannot be read: {error}") from error
    if reading.mistakes:
        raise PolicyFileError("\n".join(str(mistake) for mistake in reading.mistakes))
    ledger = BelievingLedger(book, monotonic=clock.monotonic, out_of_step=str)
    handler = _handler(cluster, policy, cluster, ledger)
    metrics = Metrics(lambda: _book_gauges(book))
    health = Health({"policy": policy.trouble})
    return Application(
        settings,
        HttpServer(_answers(handler), health, metrics),
        health,
        _files(settings, clock) or certificates.self_signed(("localhost", "127.0.0.1", "::1"), clock),
        (),
        policy,
        _nothing_to_close,
    )


async def _build_in_cluster(settings: Settings) -> Application:
    clock = SystemClock()
    api = await KubernetesApi.connect(kubeconfig=settings.kubeconfig, context=settings.context)
    try:
        return await _build_with(api, settings, clock)
    except BaseException:
        await api.close()
        raise


async def _build_with(api: KubernetesApi, settings: Settings, clock: SystemClock) -> Application:
    events = EventWriter(api, namespace=settings.namespace, clock=clock)

    def rebind(_: object = None) -> None:
        book.rebind(reconcile.binding(policy.state.policy or Policy(), labels.known))

    def complain(mistakes: tuple[str, ...]) -> None:
        for mistake in mistakes:
            name = mistake.partition("/")[0]
            events.publish(ConfigMapEvent(name, maps.uid_of(name), "PolicyInvalid", mistake))

    labels = NamespaceLabels(api, on_change=rebind)
    book = Book(reconcile.binding(Policy(), labels.known))
    policy = CurrentPolicy(on_change=rebind, on_mistakes=complain)
    maps = PolicyConfigMaps(policy, may_be_absent=settings.allow_no_policy)
    metrics = Metrics(lambda: _book_gauges(book) | _policy_gauges(policy))
    pod_sink = PodSink(book, exempt=settings.exempt_namespaces, on_uncountable=lambda: metrics.trouble("uncountable"))
    pods = Reflector(api, "/api/v1/pods", Pod, pod_sink, resource="pods")
    namespaces = Reflector(api, "/api/v1/namespaces", Namespace, labels, resource="namespaces")
    policies = Reflector(
        api,
        f"/api/v1/namespaces/{settings.namespace}/configmaps",
        PolicyConfigMap,
        maps,
        query={"labelSelector": POLICY_SELECTOR},
        resource="configmaps",
    )

    async def watch_pods() -> None:
        """After the namespaces: accounts worked out before their labels are known would be worked out twice."""
        while not namespaces.synced or policy.trouble():  # noqa: ASYNC110 - at start only; a poll needs no wiring
            await asyncio.sleep(0.02)
        await pods.run()

    reads = ClusterReads(api)
    ledger = MemoryLedger(
        book, monotonic=clock.monotonic, out_of_step=lambda: "" if pods.synced else "the pods are not all known yet"
    )
    identity = _files(settings, clock) or await certificates.from_secret(
        api,
        namespace=settings.namespace,
        names=certificates.serving_names(settings.namespace, advertise_url=settings.advertise_url),
        clock=clock,
    )
    registration = _registration(api, settings, identity, metrics)
    health = Health(
        {
            "policy": policy.trouble,
            "namespaces": lambda: "" if namespaces.synced else "the namespaces are not all known yet",
            "pods": lambda: "" if pods.synced else "the pods are not all known yet",
            "registration": lambda: "" if registration.registered else "the webhook configurations are not in place",
        }
    )

    async def expire() -> None:
        await reconcile.expire_forever(
            ledger, reads, on_expired=lambda _: None, on_trouble=lambda error: metrics.trouble(error.reason)
        )

    handler = _handler(reads, policy, labels, ledger)
    return Application(
        settings,
        HttpServer(_answers(handler), health, metrics),
        health,
        identity,
        (policies.run, namespaces.run, watch_pods, expire, events.run, registration.keep_registered),
        policy,
        api.close,
    )


def _registration(api: KubernetesApi, settings: Settings, identity: ServingIdentity, metrics: Metrics) -> Registration:
    manifests = [read_manifest(body) for body in manifest_files.webhook_configurations()]

    def bundle() -> bytes:
        return identity.ca_bundle

    form: ServiceForm | UrlForm = ServiceForm(manifests, bundle)
    if settings.advertise_url:
        form = UrlForm(manifests, bundle, settings.advertise_url)
    return Registration(api, form, on_drift=lambda _: metrics.trouble("registration-drift"))


def _handler(ancestry: Ancestry, policy: PolicySource, namespaces: Namespaces, ledger: LedgerStore) -> AdmissionHandler:
    return AdmissionHandler(Attribution(ancestry, policy), policy, namespaces, ledger, SystemClock())


def _answers(handler: AdmissionHandler) -> Mapping[str, Answer]:
    async def mutate(request: AdmissionRequest, _: float) -> AdmissionResponse:
        return await handler.mutate(request)

    async def validate(request: AdmissionRequest, deadline: float) -> AdmissionResponse:
        return await handler.validate(request, deadline=deadline)

    return {"/mutate": mutate, "/validate": validate}


def _files(settings: Settings, clock: SystemClock) -> ServingIdentity | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    name = (
        None
        if settings.standalone
        else certificates.called_as(settings.namespace, advertise_url=settings.advertise_url)
    )
    return certificates.from_files(settings.tls_cert, settings.tls_key, clock=clock, called_as=name)


def _book_gauges(book: Book) -> dict[str, float]:
    return {"pods_known": book.rows(PODS), "reservations": sum(1 for _ in book.reservations())}


def _policy_gauges(policy: CurrentPolicy) -> dict[str, float]:
    return {"policy_valid": 0 if policy.state.mistakes else 1}


async def _nothing_to_close() -> None:
    """A process without a cluster holds no connection."""
