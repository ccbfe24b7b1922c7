"""
One process: the server and everything that goes on beside it, started and stopped in order.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from webhook import certificates
from webhook.admission.handler import AdmissionHandler
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.certificates import ServingIdentity
from webhook.kinds.pods import PODS
from webhook.policy_source import CurrentPolicy
from webhook.ports import READY, Condition
from webhook.quota.usage import UsageIndex
from webhook.serving.callers import CallerFiles, Callers
from webhook.serving.http_server import HttpServer
from webhook.serving.replies import Answer
from webhook.settings import Settings


class SystemClock:
    """Port `Clock`."""

    def now(self) -> datetime:
        """Give the wall clock."""
        return datetime.fromtimestamp(time.time(), UTC)

    def monotonic(self) -> float:
        """Give seconds since some moment."""
        return time.monotonic()


def expect(holds: bool, reason: str, message: str) -> Condition:  # noqa: FBT001 - a claim and its opposite
    """Return a condition that *holds*, or does not, for *reason*."""
    return READY if holds else Condition(ok=False, reason=reason, message=message)


Task = Callable[[], Awaitable[object]]

_GC_THRESHOLDS = (50_000, 20, 100)
"""Young objects between two collections. The index is large and has no cycles; each look through it is a pause."""


@dataclass(frozen=True, slots=True)
class Application:
    """Everything of one process, built and not yet running. *close* lets go of connections."""

    settings: Settings
    server: HttpServer
    identity: ServingIdentity
    policy: CurrentPolicy
    tasks: tuple[Task, ...]
    close: Callable[[], Awaitable[None]]

    async def run(self, stop: asyncio.Event, *, on_listening: Callable[[int], None]) -> None:
        """
        Listen, work until *stop* is set, drain, end. *on_listening* hears the port.

        Raises: OSError if the port is taken; what a background task cannot get over, after which nothing is served.
        """
        gc.set_threshold(*_GC_THRESHOLDS)
        try:
            port = await self.server.start(self.settings.host, self.settings.port, self.identity.context)
            on_listening(port)
            tasks = (*self.tasks, self.identity.keep_fresh, self.server.keep_fresh)
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(_run(task)) for task in tasks]
                await stop.wait()
                await self.server.drain(self.settings.drain)
                for task in running:
                    task.cancel()
        finally:
            await self.close()


async def _run(task: Task) -> None:
    await task()


def answers(handler: AdmissionHandler) -> Mapping[str, Answer]:
    """Give who answers at which path."""

    async def mutate(request: AdmissionRequest, _: float) -> AdmissionResponse:
        return await handler.mutate(request)

    async def validate(request: AdmissionRequest, deadline: float) -> AdmissionResponse:
        return await handler.validate(request, deadline=deadline)

    return {"/mutate": mutate, "/validate": validate}


def callers(settings: Settings, identity: ServingIdentity) -> Callers:
    """Return the check of callers against the files that the settings name. Raises: CallerFileError."""
    files = CallerFiles(
        client_ca=settings.client_ca, tokens=settings.client_token_file, names=frozenset(settings.client_name)
    )
    return Callers(files, identity.clients)


def identity_in_files(settings: Settings, clock: SystemClock) -> ServingIdentity | None:
    """Give the identity in the admin's own files, None if there are none. Raises: CertificateError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    called_as = None
    if not settings.standalone:
        called_as = certificates.called_as(settings.namespace, advertise_url=settings.advertise_url)
    return certificates.from_files(
        settings.tls_cert, settings.tls_key, clock=clock, ca=settings.tls_ca, called_as=called_as
    )


def gauges(index: UsageIndex, policy: CurrentPolicy) -> Callable[[], dict[str, float]]:
    """Give what is read at each scrape."""
    return lambda: {
        "pods_known": index.rows(PODS.resource),
        "reservations": index.pending_count,
        "policy_valid": 0 if policy.state.mistakes else 1,
    }
