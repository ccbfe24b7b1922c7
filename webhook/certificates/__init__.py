"""
What the server shows to the API server, and what the API server has to trust for it.

Three ways to come by it: an authority kept in a Secret (``from_secret``), files that somebody else renews
(``from_files``), and an authority that lives in this process only (``self_signed``). Telling the API server what to
trust is for ``adapters.registration``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from webhook.certificates.errors import CertificateError
from webhook.certificates.files import from_files
from webhook.certificates.names import called_as, serving_names
from webhook.certificates.secret import from_secret
from webhook.certificates.signed import self_signed
from webhook.certificates.tls import ClientVerifier

if TYPE_CHECKING:
    import ssl
    from datetime import datetime

__all__ = [
    "CertificateError",
    "ClientVerifier",
    "ServingIdentity",
    "called_as",
    "from_files",
    "from_secret",
    "self_signed",
    "serving_names",
]


class ServingIdentity(Protocol):
    """A certificate that is served, what to trust for it, and how it stays good."""

    @property
    def context(self) -> ssl.SSLContext:
        """The server's context; the same object for the life of the process."""
        ...

    @property
    def clients(self) -> ClientVerifier:
        """How the certificates of clients are verified."""
        ...

    @property
    def ca_bundle(self) -> bytes:
        """The certificates to trust, PEM, now; empty when somebody else sees to the caBundle."""
        ...

    @property
    def not_after(self) -> datetime:
        """The end of the certificate that is served now."""
        ...

    async def keep_fresh(self) -> None:
        """Renew or reload for ever; run it as a task."""
        ...
