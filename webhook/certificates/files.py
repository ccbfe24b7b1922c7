"""
A serving identity read from files that another program renews.

It signs nothing and writes nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from webhook.certificates.pairs import CertificateError, KeyPair, PairSource, read_certificates, read_pair
from webhook.certificates.tls import ClientVerifier, LiveContext
from webhook.ports import Clock

log = structlog.get_logger(__name__)

# cert-manager's and controller-runtime's figure; a poll also sees what inotify misses on the kubelet's symbolic links.
POLL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The files of an identity; without *ca* the caBundle is up to those who register the webhook."""

    certificate: Path
    key: Path
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class _Contents:
    certificate: bytes
    key: bytes
    ca: bytes


class FileIdentity:
    """
    Serve the pair in *files*, and its successors as they appear.

    *called_as* is the name by which the API server calls; with ``None`` no name is required. A pair is used only as a
    whole: one that is half written, does not match, is out of date or is for another name leaves the old one in place,
    with one warning per pair. Belongs to one event loop.

    Raises: CertificateError when the pair is unusable at the start.
    """

    def __init__(
        self,
        files: CertificateFiles,
        *,
        clock: Clock,
        called_as: str | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._files = files
        self._clock = clock
        self._called_as = called_as
        self._poll_seconds = poll_seconds
        self._contents = _read(files)
        self._pair = self._check(self._contents)
        self._live = LiveContext(self._pair)

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
        """The certificates to trust, PEM; empty when no file of them was given."""
        return self._contents.ca

    @property
    def not_after(self) -> datetime:
        """The end of the certificate that is served now."""
        return self._pair.not_after

    async def refresh(self) -> None:
        """
        Serve what is new in the files.

        Raises: CertificateError when what is new cannot be served; the old pair stays.
        """
        found = await asyncio.to_thread(_read, self._files)
        if found == self._contents:
            return
        pair = self._check(found)
        self._live.swap(pair)
        self._pair, self._contents = pair, found
        log.info("serving certificate reloaded", not_after=self.not_after.isoformat())

    def trusted(self, bundle: Collection[bytes]) -> None:
        """Do nothing: when to serve another authority's certificate is up to those who write the files."""

    def check_call(self, host: str, ca_bundle: bytes) -> None:
        """Check that who calls *host* and trusts *ca_bundle* accepts what is served. Raises: CertificateError."""
        self._live.check_call(host, ca_bundle)

    async def keep_fresh(self) -> None:
        """Reload forever; run it as a task. An error is logged once, and the files are read again each time."""
        complaint = ""
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self.refresh()
                complaint = ""
            except CertificateError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    log.warning(
                        "serving certificate not reloaded, the old one stays",
                        reason=complaint,
                        not_after=self.not_after.isoformat(),
                    )

    def _check(self, contents: _Contents) -> KeyPair:
        source = PairSource(str(self._files.certificate), str(self._files.key))
        pair = read_pair(contents.certificate, contents.key, source=source)
        pair.check_dates(self._clock.now())
        if self._called_as is not None:
            pair.check_name(self._called_as)
        if contents.ca:
            ca = str(self._files.ca)
            pair.check_issuer(read_certificates(contents.ca, source=ca), source=ca)
        return pair


def from_files(
    certificate: Path,
    key: Path,
    *,
    clock: Clock,
    ca: Path | None = None,
    called_as: str | None = None,
) -> FileIdentity:
    """Return the identity in these files. Raises: CertificateError, see FileIdentity."""
    return FileIdentity(CertificateFiles(certificate, key, ca), clock=clock, called_as=called_as)


def _read(files: CertificateFiles) -> _Contents:
    ca = b"" if files.ca is None else _bytes_of(files.ca)
    return _Contents(_bytes_of(files.certificate), _bytes_of(files.key), ca)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(
            str(path), f"cannot be read ({error.strerror}): give a file this user may read"
        ) from error
