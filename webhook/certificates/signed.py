"""
A serving identity that signs its own certificates in memory and renews them in time.

Where its authority is kept is not told here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from webhook.certificates.authority import Authority, create_authority, sign_leaf
from webhook.certificates.errors import CertificateError
from webhook.certificates.tls import ClientVerifier, LiveContext

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from datetime import datetime

    from webhook.certificates.pairs import KeyPair
    from webhook.ports import Clock

log = structlog.get_logger(__name__)

# Looked at by wall clock, not slept through: a timer stands still while a machine sleeps, a certificate does not.
POLL_SECONDS = 60.0


class SignedIdentity:
    """
    Serve leaves signed by the first of *authorities*, and publish all of them for trust.

    One authority today. Two that overlap are what makes a rotation free of gaps: the bundle is ready for them, the
    choice of who signs is the caller's order. *names* are DNS names and IP
    addresses. Leaf keys exist in this process only. Belongs to one event loop.

    Raises: CertificateError when the signing authority is at its end.
    """

    def __init__(
        self,
        authorities: Sequence[Authority],
        names: Sequence[str],
        *,
        clock: Clock,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._authorities = tuple(authorities)
        self._names = tuple(names)
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._leaf = self._sign()
        self._live = LiveContext(self._leaf)

    @property
    def context(self) -> ssl.SSLContext:
        """The server's context; the same object for the life of the process."""
        return self._live.context

    @property
    def clients(self) -> ClientVerifier:
        """How the certificates of clients are verified."""
        return self._live

    @property
    def ca_bundle(self) -> bytes:
        """The certificates to trust, PEM, as they go into ``clientConfig.caBundle`` or to ``curl --cacert``."""
        return b"".join(authority.certificate_pem for authority in self._authorities)

    @property
    def not_after(self) -> datetime:
        """The end of the leaf that is served now."""
        return self._leaf.not_after

    def refresh(self) -> bool:
        """
        Sign and serve a new leaf when the present one's time has come, and say whether it had.

        That is after two thirds of its life, and also when the clock stands before its beginning (it was set back).
        Raises: CertificateError when the authority is at its end; the old leaf stays.
        """
        certificate = self._leaf.certificate
        begin = certificate.not_valid_before_utc
        renew_at = begin + (certificate.not_valid_after_utc - begin) * 2 / 3
        if begin <= self._clock.now() < renew_at:
            return False
        leaf = self._sign()
        self._live.swap(leaf)
        self._leaf = leaf
        return True

    async def keep_fresh(self) -> None:
        """Renew for ever; run it as a task. Trouble is logged and tried again at the next look."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                if self.refresh():
                    log.info("serving certificate renewed", not_after=self.not_after.isoformat())
            except CertificateError as error:
                log.warning("serving certificate not renewed", reason=str(error), not_after=self.not_after.isoformat())

    def _sign(self) -> KeyPair:
        now, signer = self._clock.now(), self._authorities[0]
        end = signer.certificate.not_valid_after_utc
        if now >= end:
            raise CertificateError("the certificate authority", f"expired at {end.isoformat()}: make a new one")
        return sign_leaf(signer, self._names, now)


def self_signed(names: Sequence[str], clock: Clock) -> SignedIdentity:
    """Give an identity whose authority lives in this process only, for a server without a cluster."""
    return SignedIdentity([create_authority(clock.now())], names, clock=clock)
