"""
One process: the server and its background tasks, started and stopped in order.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol

import structlog

from webhook import certificates
from webhook.admission.advice import WorkloadAdvice
from webhook.admission.handler import AdmissionHandler
from webhook.admission.policy_edits import PolicyEdits
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.certificates import ServingIdentity
from webhook.kinds.pods import PODS
from webhook.policy_source import CurrentPolicy, PolicyRemarks
from webhook.ports import READY, Clock, Condition, PromiseOrdering
from webhook.quota import resources
from webhook.quota.subject import CLUSTER
from webhook.quota.usage import UsageIndex
from webhook.serving.callers import CallerFiles, Callers
from webhook.serving.http_server import Health, HttpServer
from webhook.serving.metrics import Metrics
from webhook.serving.replies import ADVICE, Answer
from webhook.settings import Settings
from webhook.wiring.standstill import watch_for_standstill

log = structlog.get_logger(__name__)


class SystemClock:
    """Port `Clock`."""

    def now(self) -> datetime:
        """Return the wall clock time in UTC."""
        return datetime.fromtimestamp(time.time(), UTC)

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment; they never step back."""
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class OrderedClock:
    """Port `Clock` for decisions: what has begun or ended for one replica has for all."""

    clock: Clock
    order: PromiseOrdering

    def now(self) -> datetime:
        """Return the time to decide by."""
        return self.order.time(self.clock.now())

    def monotonic(self) -> float:
        """Return the monotonic time in seconds."""
        return self.clock.monotonic()


def expect(holds: bool, reason: str, message: str) -> Condition:  # noqa: FBT001 - the condition itself
    """Return READY if *holds*, otherwise a condition that fails with *reason* and *message*."""
    return READY if holds else Condition(ok=False, reason=reason, message=message)


Task = Callable[[], Awaitable[object]]


class View(Protocol):
    """A second port, on which people see their quotas."""

    async def start(self) -> None:
        """Listen. Raises: OSError if the port is taken."""

    async def close(self) -> None:
        """Answer what is being answered, and stop."""


_GC_THRESHOLDS = (50_000, 20, 100)
"""Thresholds of `gc.set_threshold`. The index is large and has no cycles; each collection of it pauses all requests."""


@dataclass(frozen=True, slots=True)
class Application:
    """
    All parts of one process, built but not started. `give_back` ends what it holds of what is shared, and `close`
    closes its connections.
    """

    settings: Settings
    server: HttpServer
    identity: ServingIdentity
    policy: CurrentPolicy
    tasks: tuple[Task, ...]
    close: Callable[[], Awaitable[None]]
    view: View | None = None
    give_back: Callable[[], Awaitable[None]] | None = None

    async def run(self, stop: asyncio.Event, *, on_listening: Callable[[int], None]) -> None:
        """
        Serve until *stop* is set, then drain and close. *on_listening* is called with the port.

        Raises: OSError if the port is taken; an error that a background task could not handle, which stops the server.
        """
        gc.set_threshold(*_GC_THRESHOLDS)
        _give_large_blocks_back()
        try:
            port = await self.server.start(self.settings.host, self.settings.port, self.identity.context)
            if self.view is not None:
                await self.view.start()
            on_listening(port)
            tasks = (*self.tasks, self.identity.keep_fresh, self.server.keep_fresh, watch_for_standstill)
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(_run(task)) for task in tasks]
                await stop.wait()
                await self.server.drain(self.settings.drain)
                if self.view is not None:
                    await self.view.close()
                if self.give_back is not None:
                    await _for_a_while(self.give_back)
                for task in running:
                    task.cancel()
        finally:
            await self.close()


_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK = 512 * 1024
"""
Bytes. Each read from a TLS connection asks for 256 KiB: with less than that here, every review would cost calls of the
system, a tenth of what it takes (measured with 128 KiB).
"""


def _give_large_blocks_back() -> None:
    """
    Have glibc give each large block back to the system once it is freed.

    By default it takes the more from its heap the larger the blocks were that it has seen freed, up to 32 MiB, and
    keeps the heap: after 5 000 connections that came and went, of which 1 000 stayed, a process had 200 MB, and like
    this 137.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl and others have none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


_GIVE_BACK_SECONDS = 3.0
"""How long a process that ends tries to write. Others wait for what it does not give back, and need nothing of it."""


async def _for_a_while(task: Task) -> None:
    try:
        async with asyncio.timeout(_GIVE_BACK_SECONDS):
            await task()
    except TimeoutError:
        log.warning("what this process was granted is not given back: others count it for 50 seconds more")


async def _run(task: Task) -> None:
    await task()


def answers(
    handler: AdmissionHandler, advice: WorkloadAdvice, edits: PolicyEdits | None = None
) -> Mapping[str, Answer]:
    """Return the functions that answer reviews, by URL path; without a cluster there are no *edits* to judge."""

    async def mutate(request: AdmissionRequest, _: float) -> AdmissionResponse:
        return await handler.mutate(request)

    async def validate(request: AdmissionRequest, deadline: float) -> AdmissionResponse:
        return await handler.validate(request, deadline=deadline)

    async def advise(request: AdmissionRequest, deadline: float) -> AdmissionResponse:
        return await advice.advise(request, deadline=deadline)

    found = {"/mutate": mutate, "/validate": validate, ADVICE: advise}
    if edits is None:
        return found

    async def judge(request: AdmissionRequest, deadline: float) -> AdmissionResponse:
        return await edits.judge(request, deadline=deadline)

    return {**found, "/policy": judge}


def callers(settings: Settings, identity: ServingIdentity) -> Callers:
    """Return the check of callers against the files in *settings*. Raises: CallerFileError."""
    files = CallerFiles(
        client_ca=settings.client_ca, tokens=settings.client_token_file, names=frozenset(settings.client_name)
    )
    return Callers(files, identity.clients)


def identity_in_files(settings: Settings, clock: SystemClock) -> ServingIdentity | None:
    """Return the identity in the certificate files of *settings*, None if none are set. Raises: CertificateError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    called_as = None
    if not settings.standalone:
        called_as = certificates.called_as(settings.namespace, advertise_url=settings.advertise_url)
    return certificates.from_files(
        settings.tls_cert, settings.tls_key, clock=clock, ca=settings.tls_ca, called_as=called_as
    )


_MOST_DEVICES = 500
"""Names of devices in use that the notes on a policy look at. Anybody may invent as many as fit into their pods."""


def policy_remarks(
    policy: CurrentPolicy, clock: Clock, index: UsageIndex, exempt: Callable[[], frozenset[str]] = frozenset
) -> PolicyRemarks:
    """Return the notes on *policy*, with what the objects in *index* ask for, and the namespaces that are *exempt*."""
    return PolicyRemarks(policy, clock, devices=lambda: devices_in_use(index), exempt=exempt)


def devices_in_use(index: UsageIndex) -> frozenset[str]:
    """Return the devices that objects in *index* ask for, at most 500."""
    unprefixed = (name.removeprefix("requests.") for name in index.names_used(CLUSTER))
    return frozenset(islice(filter(resources.is_extended, unprefixed), _MOST_DEVICES))


def gauges(index: UsageIndex, policy: CurrentPolicy) -> Callable[[], dict[str, float]]:
    """Return a function that computes the gauges at each scrape."""
    return lambda: {
        "pods_known": index.rows(PODS.resource),
        "reservations": index.pending_count,
        "policy_valid": 0 if policy.state.mistakes else 1,
    }


def show_process(metrics: Metrics, health: Health, identity: ServingIdentity) -> None:
    """Show in *metrics* the checks of *health*, and when the certificate of *identity* ends."""
    metrics.add_checks(health.states)
    metrics.add_gauges(lambda: {"certificate_expiration_timestamp_seconds": identity.not_after.timestamp()})
