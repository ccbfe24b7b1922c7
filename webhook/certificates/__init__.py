"""
What the server shows to the API server, and what the API server has to trust for it.

Three sources: an authority stored in a Secret (``from_secret``), files that another program renews
(``from_files``), and an authority that exists in this process only (``self_signed``). Writing the caBundle is for
``registration``.
"""

from __future__ import annotations

import ssl
from datetime import datetime
from typing import Protocol

from webhook.certificates.files import from_files
from webhook.certificates.pairs import CertificateError
from webhook.certificates.secret import from_secret
from webhook.certificates.signed import called_as, self_signed, serving_names
from webhook.certificates.tls import ClientVerifier, LiveContext
from webhook.ports import Trust

__all__ = [
    "CertificateError",
    "ClientVerifier",
    "LiveContext",
    "ServingIdentity",
    "called_as",
    "from_files",
    "from_secret",
    "self_signed",
    "serving_names",
]


class ServingIdentity(Trust, Protocol):
    """A certificate that is served, what to trust for it, and how it stays valid."""

    @property
    def context(self) -> ssl.SSLContext:
        """The server's context; the same object for the life of the process."""
        ...

    @property
    def clients(self) -> ClientVerifier:
        """How the certificates of clients are verified."""
        ...

    def for_another_port(self) -> LiveContext:
        """Return a context for another port: the same certificate, other clients."""
        ...

    @property
    def not_after(self) -> datetime:
        """The end of the certificate that is served now."""
        ...

    async def keep_fresh(self) -> None:
        """Refresh forever; run it as a task."""
        ...
