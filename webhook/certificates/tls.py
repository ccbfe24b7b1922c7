"""
The server's side of TLS: one context for the life of the process, whose certificate can be swapped while it serves.

Nothing here knows where certificates come from or when they are renewed.
"""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from pathlib import Path

from webhook.certificates.pairs import CertificateError, KeyPair


class LiveContext:
    """
    One ``ssl.SSLContext`` for the server, which serves the pair that was set last.

    ``load_cert_chain`` on the context in use would be shorter and is wrong twice: OpenSSL keeps one certificate per
    kind of key, so that after a change from RSA to ECDSA some clients would still get the old one; and a pair that
    turns out not to match has by then replaced half of the one that did (both seen with OpenSSL 3.0). So each pair gets
    a context of its own, complete before it is used, and every handshake uses the newest. Open connections keep what
    they have. Belongs to one event loop.
    """

    def __init__(self, pair: KeyPair) -> None:
        self._current = _context_of(pair)
        self.context = _bare_context()
        self.context.sni_callback = self._choose

    def swap(self, pair: KeyPair) -> None:
        """
        Serve *pair* from the next handshake on.

        Raises: CertificateError when OpenSSL refuses it, for a weak key for example; the old one stays.
        """
        self._current = _context_of(pair)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # OpenSSL calls this for every handshake, also where the client names no host (an IP address in the URL).
        connection.context = self._current


def _context_of(pair: KeyPair) -> ssl.SSLContext:
    context = _bare_context()
    try:
        _load(context, pair.pem)
    except ssl.SSLError as error:
        raise CertificateError(
            pair.source.certificate, f"OpenSSL refuses it ({error.reason}): issue another"
        ) from error
    return context


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The API server asks for 1.2 at least and prefers 1.3, as we do; older ones are broken.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # API servers speak HTTP/1.1 to webhooks; offering h2 would only invite what the server cannot answer.
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    # Python's ssl reads certificates from named files only. Where the system has files in memory, with no name on any
    # disk, the key goes there: that also works with a read-only root file system and no volume.
    if sys.platform == "linux":
        handle = os.memfd_create("serving-certificate")
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{handle}")
    else:
        # mkdtemp is 0700 and mkstemp 0600; both are gone before anything is served.
        with tempfile.TemporaryDirectory() as directory:
            handle, name = tempfile.mkstemp(dir=directory)
            with os.fdopen(handle, "wb") as file:
                file.write(pem)
            context.load_cert_chain(Path(name))
