"""
The server's side of TLS: one context for the life of the process, whose certificates can be replaced while it serves.

Where certificates come from and when they are renewed is not in here.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from webhook.certificates.pairs import CertificateError, KeyPair


class ClientVerifier(Protocol):
    """Verifies the certificates of clients; without a call of `trust_clients` none is asked for."""

    def trust_clients(self, client_ca: bytes) -> None:
        """Verify against *client_ca*, PEM, from the next handshake on. Raises: ValueError if it holds none."""

    def has_verified(self, connection: ssl.SSLObject) -> bool:
        """Whether a certificate on *connection*, if there is one, was verified against what is trusted now."""


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
        self._pair = pair
        self._client_ca = ""
        self._current = _context_of(pair, self._client_ca)
        self._verifying: WeakSet[ssl.SSLContext] = WeakSet()
        self._siblings: list[LiveContext] = []
        self.context = _bare_context()
        self.context.sni_callback = self._choose

    def swap(self, pair: KeyPair) -> None:
        """
        Serve *pair* from the next handshake on.

        Raises: CertificateError when OpenSSL refuses it, for a weak key for example; the old one stays.
        """
        context = _context_of(pair, self._client_ca)
        self._pair = pair
        self._use(context)
        for each in self._siblings:
            each.swap(pair)

    def sibling(self) -> LiveContext:
        """Return the context of another port: it serves the same pair, now and later, and trusts clients of its own."""
        made = LiveContext(self._pair)
        self._siblings.append(made)
        return made

    def trust_clients(self, client_ca: bytes) -> None:
        """
        Ask clients for a certificate from the next handshake on, and verify it against *client_ca*, PEM.

        A client without a certificate still gets a connection, because the kubelet's probes and Prometheus have none; a
        client with one that does not verify gets none. Raises: ValueError if *client_ca* holds no certificate; what
        was trusted before then stays.
        """
        text = client_ca.decode("ascii", "ignore")  # comments between the certificates may be in any script
        context = _context_of(self._pair, text)
        self._client_ca = text
        self._verifying.clear()
        self._use(context)
        _ask_for_certificate(self.context)

    def has_verified(self, connection: ssl.SSLObject) -> bool:
        """Whether *connection*'s handshake asked for a certificate and verified it against what is trusted now."""
        # A resumed session brings the certificate of an earlier handshake, which is not verified again.
        return connection.context in self._verifying and not connection.session_reused

    def check_call(self, host: str, ca_bundle: bytes) -> None:
        """
        Shake hands as a client that calls *host* and trusts *ca_bundle*, PEM; with an empty one check the name alone.

        Raises: CertificateError when the client would refuse what is served now.
        """
        self._pair.check_name(host)
        if not ca_bundle:
            return
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            client.load_verify_locations(cadata=ca_bundle.decode("ascii", "ignore"))
            _shake_hands(self.context, client, host)
        except (ssl.SSLError, ssl.CertificateError) as error:
            why = getattr(error, "verify_message", "") or str(error)
            raise CertificateError(self._pair.source.certificate, f"is not trusted by the caBundle ({why})") from error

    def _use(self, context: ssl.SSLContext) -> None:
        self._current = context
        if self._client_ca:
            self._verifying.add(context)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # OpenSSL calls this for every handshake, also where the client names no host (an IP address in the URL).
        connection.context = self._current


def _context_of(pair: KeyPair, client_ca: str) -> ssl.SSLContext:
    context = _bare_context()
    try:
        _load(context, pair.pem)
    except ssl.SSLError as error:
        raise CertificateError(
            pair.source.certificate, f"OpenSSL refuses it ({error.reason}): issue another"
        ) from error
    if client_ca:
        try:
            context.load_verify_locations(cadata=client_ca)
        except ssl.SSLError as error:
            raise ValueError(f"holds no readable PEM certificate ({error.reason})") from error
        _ask_for_certificate(context)
    return context


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Complete a handshake in memory. Raises: ssl.SSLError when the client refuses the server's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (here, there, here):  # the client greets, the server answers, the client verifies
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    if here.cipher() is None:
        raise ssl.SSLError("the handshake did not end")


def _ask_for_certificate(context: ssl.SSLContext) -> None:
    # Of a handshake's two contexts the first one decides whether to ask, and the chosen one verifies.
    context.verify_mode = ssl.CERT_OPTIONAL
    # No sessions to resume: a certificate has to be verified against what is trusted now. Go resumes none by default.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The API server asks for 1.2 at least and prefers 1.3; older versions are broken.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # API servers speak HTTP/1.1 to webhooks; h2 would be an offer that this server cannot keep.
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
