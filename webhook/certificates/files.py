"""
A serving identity read from files that another program renews.

It signs nothing and writes nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from webhook.certificates.pairs import CertificateError, KeyPair, PairSource, read_certificates, read_pair
from webhook.certificates.settling import Trusted
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

    A pair that only a new authority vouches for is served once every caBundle has held that for a minute; until then
    both authorities are published, and the old pair is served. It is served at once where the caBundle is not ours to
    write, nobody trusts the old authority any more, or the old pair has expired.

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
        self._next: tuple[KeyPair, _Contents] | None = None
        self._trusted = Trusted()
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
        return self._contents.ca if self._next is None else self._next[1].ca + b"\n" + self._contents.ca

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
        if found == (self._contents if self._next is None else self._next[1]):
            self._serve_if_trusted()
            return
        pair = self._check(found)
        self._next = pair, found
        self._serve_if_trusted()
        if self._next is not None:
            log.info("the authority in the files was replaced: both are trusted until the new pair is served")

    def trusted(self, bundle: Collection[bytes]) -> None:
        """
        Record the certificates that every caBundle holds now, PEM each; a pair of a new authority is served here.

        Raises: CertificateError when it cannot be served; the old one stays.
        """
        self._trusted.observe(bundle, now=self._clock.monotonic())
        self._serve_if_trusted()

    def _serve_if_trusted(self) -> None:
        if self._next is None:
            return
        pair, contents = self._next
        if self._clock.now() >= self.not_after or self._is_trusted(pair, contents):
            self._live.swap(pair)
            self._pair, self._contents, self._next = pair, contents, None
            log.info("serving certificate reloaded", not_after=self.not_after.isoformat())

    def _is_trusted(self, pair: KeyPair, contents: _Contents) -> bool:
        """Whether API servers trust *pair*, as far as that is ours to know."""
        if not contents.ca or not self._contents.ca:
            return True
        published = read_certificates(self._contents.ca, source=str(self._files.ca))
        try:
            pair.check_issuer(published, source=str(self._files.ca))
        except CertificateError:
            new = read_certificates(contents.ca, source=str(self._files.ca))
            return self._trusted.may_replace(_pem(published), _pem(new), now=self._clock.monotonic())
        return True

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


def _pem(found: Sequence[x509.Certificate]) -> tuple[bytes, ...]:
    """Return certificates as a caBundle has them."""
    return tuple(each.public_bytes(serialization.Encoding.PEM) for each in found)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(
            str(path), f"cannot be read ({error.strerror}): give a file this user may read"
        ) from error
