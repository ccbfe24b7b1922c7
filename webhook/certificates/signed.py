"""
A serving identity that signs its own certificates in memory, for the names the API server calls the webhook by.

Where its authority is stored is not known here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import structlog

from webhook.certificates.authority import Authority, create_authority, sign_leaf
from webhook.certificates.pairs import CertificateError, KeyPair
from webhook.certificates.tls import ClientVerifier, LiveContext
from webhook.ports import Clock, WebhookError

log = structlog.get_logger(__name__)

SERVICE: Final = "userquota"
# Polled by wall clock: a timer stands still while a machine sleeps, a certificate does not.
POLL_SECONDS: Final = 60.0
# API servers learn of a changed caBundle by a watch, which takes a second at most.
SETTLE_SECONDS: Final = 10.0

Agree = Callable[[Authority], Awaitable[Authority]]
"""Returns the authority that all replicas share, given this replica's own. Raises: WebhookError."""


async def _alone(own: Authority) -> Authority:
    return own


class SignedIdentity:
    """
    Serve leaves for *names* (DNS names and IP addresses) signed by *authority*, and replace both in time.

    When *agree* returns another authority than the one that signs, both are published. The new one signs once every
    caBundle has held both for ten seconds, so that no call fails; at once if the old one is not trusted any more, or
    has expired. Leaf keys exist in this process only. Belongs to one event loop.

    Raises: CertificateError when the authority is at its end.
    """

    def __init__(
        self,
        authority: Authority,
        names: Sequence[str],
        *,
        clock: Clock,
        agree: Agree = _alone,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._authority = authority
        self._successor: Authority | None = None
        self._trusted_at: float | None = None
        self._names = tuple(names)
        self._clock = clock
        self._agree = agree
        self._poll_seconds = poll_seconds
        self._leaf = self._sign(authority)
        self._live = LiveContext(self._leaf)
        self._refreshing = asyncio.Lock()

    @property
    def context(self) -> ssl.SSLContext:
        """The server's context; the same object for the life of the process."""
        return self._live.context

    @property
    def clients(self) -> ClientVerifier:
        """How the certificates of clients are verified."""
        return self._live

    def for_another_port(self) -> LiveContext:
        """Return a context for another port: the same certificate, other clients."""
        return self._live.sibling()

    @property
    def ca_bundle(self) -> bytes:
        """The certificates to trust, PEM, as they go into ``clientConfig.caBundle`` or to ``curl --cacert``."""
        successor = b"" if self._successor is None else self._successor.certificate_pem
        return successor + self._authority.certificate_pem

    @property
    def not_after(self) -> datetime:
        """The end of the leaf that is served now."""
        return self._leaf.not_after

    async def refresh(self) -> None:
        """
        Ask which authority all replicas share, and serve a new leaf if it is time.

        It is time after two thirds of a leaf's life, and when the clock stands before its beginning (it was set back).
        Raises: CertificateError when the authority is at its end, WebhookError when *agree* fails; what is published
        stays then, and a leaf is renewed all the same.
        """
        async with self._refreshing:
            try:
                self._follow(await self._agree(self._authority))
            except WebhookError:
                if not self._is_expired(self._authority):  # why there is no other one is the better reason
                    self._renew()
                raise
            self._renew()

    def trusted(self, bundle: bytes) -> None:
        """
        Record what every caBundle holds now, PEM; a new authority begins to sign here.

        Raises: CertificateError when its leaf cannot be served; the old one stays.
        """
        successor = self._successor
        if successor is None or successor.certificate_pem not in bundle:
            self._trusted_at = None
            return
        now = self._clock.monotonic()
        self._trusted_at = now if self._trusted_at is None else self._trusted_at
        if now - self._trusted_at >= SETTLE_SECONDS or self._authority.certificate_pem not in bundle:
            self._sign_by(successor)

    async def keep_fresh(self) -> None:
        """Refresh forever; run it as a task. An error is logged once, and everything is tried again at each poll."""
        complaint = ""
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self.refresh()
                complaint = ""
            except WebhookError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    log.warning("certificates not refreshed", reason=complaint, not_after=self.not_after.isoformat())

    def _follow(self, shared: Authority) -> None:
        if shared.certificate == self._authority.certificate:
            self._successor = None
        elif self._is_expired(self._authority):
            self._sign_by(shared)  # nobody trusts the old one: there is no call that the change could make fail
        elif self._successor is None or shared.certificate != self._successor.certificate:
            log.warning("the certificate authority was replaced: both are trusted until the new one signs")
            self._successor, self._trusted_at = shared, None

    def _sign_by(self, successor: Authority) -> None:
        self._serve(self._sign(successor))
        self._authority, self._successor = successor, None
        log.info("the new certificate authority signs", not_after=self.not_after.isoformat())

    def _renew(self) -> None:
        certificate = self._leaf.certificate
        begin = certificate.not_valid_before_utc
        renew_at = begin + (certificate.not_valid_after_utc - begin) * 2 / 3
        if begin <= self._clock.now() < renew_at:
            return
        self._serve(self._sign(self._authority))
        log.info("serving certificate renewed", not_after=self.not_after.isoformat())

    def _serve(self, leaf: KeyPair) -> None:
        self._live.swap(leaf)
        self._leaf = leaf

    def _sign(self, authority: Authority) -> KeyPair:
        if self._is_expired(authority):
            end = authority.certificate.not_valid_after_utc
            problem = f"expired at {end.isoformat()}: replace it, see certs/README.md"
            raise CertificateError("the certificate authority", problem)
        return sign_leaf(authority, self._names, self._clock.now())

    def _is_expired(self, authority: Authority) -> bool:
        return self._clock.now() >= authority.certificate.not_valid_after_utc


def self_signed(names: Sequence[str], clock: Clock) -> SignedIdentity:
    """Return an identity whose authority exists in this process only, for a server without a cluster."""
    return SignedIdentity(create_authority(clock.now()), names, clock=clock)


def called_as(namespace: str, *, advertise_url: str | None = None) -> str:
    """Return the one name that the API server checks: the host of *advertise_url*, else the Service's."""
    host = urlsplit(advertise_url).hostname if advertise_url is not None else None
    return host or f"{SERVICE}.{namespace}.svc"


def serving_names(namespace: str, *, advertise_url: str | None = None) -> tuple[str, ...]:
    """Return every name the webhook answers to, the one that the API server checks first."""
    service = f"{SERVICE}.{namespace}"
    names = (
        called_as(namespace, advertise_url=advertise_url),
        f"{service}.svc",
        f"{service}.svc.cluster.local",
        service,
    )
    return tuple(dict.fromkeys(names))
