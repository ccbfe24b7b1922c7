"""
A server without a cluster, for trying things out and for measuring.
"""

from __future__ import annotations

from webhook import reconcile
from webhook.adapters import certificates
from webhook.adapters.http_server import Health, HttpServer
from webhook.adapters.ledger_memory import BelievingLedger
from webhook.adapters.metrics import Metrics
from webhook.adapters.policy_source import CurrentPolicy, read_files
from webhook.adapters.standalone_cluster import StandaloneCluster
from webhook.adapters.system_clock import SystemClock
from webhook.admission.attribution import Attribution
from webhook.admission.handler import AdmissionHandler
from webhook.quota.book import Book
from webhook.quota.errors import WebhookError
from webhook.quota.policy import Policy
from webhook.settings import Settings
from webhook.wiring.application import Application, answers, gauges, identity_in_files


class PolicyFileError(WebhookError):
    """A policy file that cannot be used at start. Every mistake is a line of its own."""


def build_standalone(settings: Settings) -> Application:
    """Give the application. Raises: PolicyFileError, CertificateError."""
    clock = SystemClock()
    cluster = StandaloneCluster()
    book = Book(reconcile.binding(Policy(), cluster.known))
    policy = CurrentPolicy(
        on_change=lambda new: book.rebind(reconcile.binding(new, cluster.known)), on_mistakes=lambda _: None
    )
    _load(policy, settings)
    ledger = BelievingLedger(book, monotonic=clock.monotonic, api_time=clock.monotonic, out_of_step=str)
    handler = AdmissionHandler(Attribution(cluster, policy), policy, cluster, ledger, clock)
    health = Health({"policy": policy.trouble})
    return Application(
        settings,
        HttpServer(answers(handler), health, Metrics(gauges(book, policy))),
        identity_in_files(settings, clock) or certificates.self_signed(("localhost", "127.0.0.1", "::1"), clock),
        policy,
        tasks=(),
        close=_nothing_to_close,
    )


def _load(policy: CurrentPolicy, settings: Settings) -> None:
    try:
        reading = policy.take(read_files(settings.policy))
    except OSError as error:
        raise PolicyFileError(f"the policy cannot be read: {error.filename}: {error.strerror}") from error
    if reading.mistakes:
        raise PolicyFileError("\n".join(map(str, reading.mistakes)))


async def _nothing_to_close() -> None:
    """A process without a cluster holds no connection."""
