"""
A serving identity that signs its own certificates in memory, for the names the API server calls the webhook by.

Where its authority is stored is not known here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import structlog

from webhook.certificates.authority import LONG_LIFE, Authority, create_authority, renewal_time, sign_leaf
from webhook.certificates.pairs import CertificateError, KeyPair
from webhook.certificates.settling import Trusted
from webhook.certificates.succession import Authorities
from webhook.certificates.tls import ClientVerifier, LiveContext
from webhook.ports import Clock, WebhookError

log = structlog.get_logger(__name__)

SERVICE: Final = "userquota"
# Polled by wall clock: a timer stands still while a machine sleeps, a certificate does not.
POLL_SECONDS: Final = 60.0
Agree = Callable[[Authorities], Awaitable[Authorities]]
"""Returns the authorities that all replicas share, given those that this replica knows. Raises: WebhookError."""


async def _alone(own: Authorities) -> Authorities:
    return own


class SignedIdentity:
    """
    Serve leaves for *names* (DNS names and IP addresses) signed by one of *authorities*, and replace all in time.

    All authorities that *agree* returns are published, and the one that signs here. When that is not the signing one of
    those any more, the new one takes over once every caBundle has held it for a minute, so that no call fails; at once
    if the old one is not trusted any more, or has expired. Leaf keys exist in this process only. Belongs to one event
    loop.

    Raises: CertificateError when the signing authority is at its end.
    """

    def __init__(
        self,
        authorities: Authorities,
        names: Sequence[str],
        *,
        clock: Clock,
        agree: Agree = _alone,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._shared = authorities
        self._issuer = authorities.signing
        self._trusted = Trusted()
        self._names = tuple(names)
        self._clock = clock
        self._agree = agree
        self._poll_seconds = poll_seconds
        self._leaf = self._sign(self._issuer)
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
        published = (*self._shared.all, self._issuer)
        return b"".join(dict.fromkeys(each.certificate_pem for each in published))

    @property
    def not_after(self) -> datetime:
        """The end of the leaf that is served now."""
        return self._leaf.not_after

    async def refresh(self) -> None:
        """
        Ask which authorities all replicas share, and serve a new leaf if it is time.

        It is time after two thirds of a leaf's life, and when the clock stands before its beginning (it was set back).
        Raises: CertificateError when the authority is at its end, WebhookError when *agree* fails; what is published
        stays then, and a leaf is renewed all the same.
        """
        async with self._refreshing:
            try:
                self._follow(await self._agree(self._shared))
            except WebhookError:
                if not self._issuer.is_expired(self._clock.now()):  # why there is no other one is the better reason
                    self._renew()
                raise
            self._renew()

    def trusted(self, bundle: Collection[bytes]) -> None:
        """
        Record the certificates that every caBundle holds now, PEM each; a new authority begins to sign here.

        Raises: CertificateError when its leaf cannot be served; the old one stays.
        """
        now = self._clock.monotonic()
        self._trusted.observe(bundle, now=now)
        signing, issuer = self._shared.signing, self._issuer
        if signing.certificate != issuer.certificate and self._trusted.may_replace(
            (issuer.certificate_pem,), (signing.certificate_pem,), now=now
        ):
            self._sign_by(signing)

    def check_call(self, host: str, ca_bundle: bytes) -> None:
        """Check that who calls *host* and trusts *ca_bundle* accepts what is served. Raises: CertificateError."""
        self._live.check_call(host, ca_bundle)

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

    def _follow(self, shared: Authorities) -> None:
        before, self._shared = self._shared.signing.certificate, shared
        if shared.signing.certificate == self._issuer.certificate:
            return
        if self._issuer.is_expired(self._clock.now()):
            # Nobody trusts the old one: there is no call that the change could make fail.
            self._sign_by(shared.signing)
        elif shared.signing.certificate != before:
            log.warning("the certificate authority was replaced: both are trusted until the new one signs")

    def _sign_by(self, authority: Authority) -> None:
        self._serve(self._sign(authority))
        self._issuer = authority
        log.info("the new certificate authority signs", not_after=self.not_after.isoformat())

    def _renew(self) -> None:
        certificate = self._leaf.certificate
        if certificate.not_valid_before_utc <= self._clock.now() < renewal_time(certificate):
            return
        self._serve(self._sign(self._issuer))
        log.info("serving certificate renewed", not_after=self.not_after.isoformat())

    def _serve(self, leaf: KeyPair) -> None:
        self._live.swap(leaf)
        self._leaf = leaf

    def _sign(self, authority: Authority) -> KeyPair:
        now = self._clock.now()
        if authority.is_expired(now):
            end = authority.certificate.not_valid_after_utc
            problem = f"expired at {end.isoformat()}: replace it, see certs/README.md"
            raise CertificateError("the certificate authority", problem)
        return sign_leaf(authority, self._names, now)


def self_signed(names: Sequence[str], clock: Clock) -> SignedIdentity:
    """Return an identity whose authority exists in this process only, for ten years: for a server without a cluster."""
    return SignedIdentity(Authorities(create_authority(clock.now(), life=LONG_LIFE)), names, clock=clock)


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
