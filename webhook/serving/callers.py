"""
Whether a review comes from the API server: it shows a client certificate or a bearer token. One of them is enough.

How a certificate is verified is in `certificates.tls`. What the API server needs to show either is described in
manifests/README.md.
"""

from __future__ import annotations

import asyncio
import enum
import hmac
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from webhook.ports import WebhookError

log = structlog.get_logger(__name__)

_POLL_SECONDS = 10.0
"""As for the files of the serving certificate. A poll also sees what inotify misses on the kubelet's symbolic links."""

_SHORTEST_TOKEN = 16
"""Bytes. Below that a token can be guessed, or the file holds something else."""


class CallerFileError(WebhookError):
    """A file that callers are checked against cannot be used. One line: which option, and what to do."""


class ClientVerifier(Protocol):
    """Verifies the certificates of clients during the handshake, as `certificates.ClientVerifier` says."""

    def trust_clients(self, client_ca: bytes) -> None:
        """Verify against *client_ca* from the next handshake on. Raises: ValueError."""

    def has_verified(self, connection: ssl.SSLObject) -> bool:
        """Whether *connection*'s certificate was verified against what is trusted now."""


class Proof(enum.Enum):
    """What is known about a caller."""

    VALID = "valid"
    MISSING = "missing"
    OUTDATED = "outdated"
    """The connection is older than what is trusted now: on a new one the caller may well be able to prove itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerFiles:
    """
    What callers are checked against; without any file every caller is believed.

    *tokens* holds one token a line, so that a new one can be accepted before the API server uses it. Where *names* are
    given, a certificate has to carry one of them as its common name or a subject alternative name.
    """

    client_ca: Path | None = None
    tokens: Path | None = None
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Contents:
    client_ca: bytes = b""
    tokens: tuple[bytes, ...] = ()


class Callers:
    """
    Checks callers against *files*, which are read again as they change.

    Belongs to one event loop. Raises: CallerFileError if a file cannot be used at the start.
    """

    def __init__(self, files: CallerFiles, verifier: ClientVerifier, *, poll_seconds: float = _POLL_SECONDS) -> None:
        """Have *verifier* ask for certificates if there is a file to verify them against."""
        self._files = files
        self._verifier = verifier
        self._poll_seconds = poll_seconds
        self._contents = _Contents()
        self._use(_read(files))

    @property
    def must_prove(self) -> bool:
        """Whether there is anything to check callers against."""
        return self._contents != _Contents()

    def proof(self, connection: ssl.SSLObject | None, headers: Mapping[str, str]) -> Proof:
        """Return what a request on *connection* with *headers* proves. Only if `must_prove` is it worth a call."""
        if _has_token(headers.get("Authorization", ""), self._contents.tokens):
            return Proof.VALID
        if connection is None or not self._contents.client_ca:
            return Proof.MISSING
        if not self._verifier.has_verified(connection):
            return Proof.OUTDATED
        # Present means verified: a handshake with a certificate that does not verify is broken off.
        certificate = connection.getpeercert()
        return Proof.VALID if certificate and self._is_named(certificate) else Proof.MISSING

    async def refresh(self) -> bool:
        """
        Read the files; return whether something changed.

        Raises: CallerFileError if what is new cannot be used; what was in force stays.
        """
        found = await asyncio.to_thread(_read, self._files)
        if found == self._contents:
            return False
        self._use(found)
        return True

    async def keep_fresh(self) -> None:
        """Reload for ever; run it as a task. An error is logged once, and the files are read again each time."""
        logged = ""
        while self.must_prove:
            await asyncio.sleep(self._poll_seconds)
            try:
                if await self.refresh():
                    log.info("what callers are checked against was reloaded")
                logged = ""
            except CallerFileError as error:
                if str(error) != logged:
                    logged = str(error)
                    log.warning("what callers are checked against was not reloaded, the old stays", reason=logged)

    def _use(self, contents: _Contents) -> None:
        if contents.client_ca and contents.client_ca != self._contents.client_ca:
            try:
                self._verifier.trust_clients(contents.client_ca)
            except ValueError as error:
                raise CallerFileError(f"--client-ca {self._files.client_ca}: {error}") from error
        self._contents = contents

    def _is_named(self, certificate: Mapping[str, Any]) -> bool:
        return not self._files.names or not self._files.names.isdisjoint(_names(certificate))


def _names(certificate: Mapping[str, Any]) -> set[str]:
    """Return the common names and the subject alternative names of a certificate as `ssl` shows it."""
    attributes: Sequence[tuple[str, str]] = [each for rdn in certificate.get("subject", ()) for each in rdn]
    common = {value for key, value in attributes if key == "commonName"}
    return common | {value for _, value in certificate.get("subjectAltName", ()) if isinstance(value, str)}


def _has_token(authorization: str, tokens: tuple[bytes, ...]) -> bool:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return False
    given = token.strip().encode("utf-8", "surrogateescape")
    # Each in constant time: how long it takes says nothing about how much of a token was right.
    return any(hmac.compare_digest(given, each) for each in tokens)


def _read(files: CallerFiles) -> _Contents:
    client_ca = b"" if files.client_ca is None else _bytes("--client-ca", files.client_ca)
    if files.client_ca is not None and not client_ca.strip():
        raise CallerFileError(f"--client-ca {files.client_ca}: is empty: put the certificates to trust in it")
    if files.tokens is None:
        return _Contents(client_ca)
    tokens = tuple(_bytes("--client-token-file", files.tokens).split())
    if not tokens or min(map(len, tokens)) < _SHORTEST_TOKEN:
        problem = f"needs one token a line, each of {_SHORTEST_TOKEN} characters at least and without blanks"
        raise CallerFileError(f"--client-token-file {files.tokens}: {problem}")
    return _Contents(client_ca, tokens)


def _bytes(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CallerFileError(
            f"{option} {path}: cannot be read ({error.strerror}): give a file this user may read"
        ) from error
