"""
A certificate with its chain and its private key, read from PEM and checked; and the error for what is wrong with one.

No files and no TLS here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from webhook.ports import WebhookError


class CertificateError(WebhookError):
    """
    Something is wrong with a certificate, a key or the Secret that holds them; one line that says what to do.

    *source* names the file, or the Secret and its key; *problem* says what is wrong and what to do.
    """

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")
        self.source = source
        self.problem = problem


@dataclass(frozen=True, slots=True)
class PairSource:
    """Where the two halves of a pair come from, in words for an error: a file each, or a Secret's key each."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class KeyPair:
    """
    A certificate chain, the serving (or signing) certificate first, with the private key of that first one.

    The key matches: bytes of others come in through ``read_pair`` only.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKeyTypes
    source: PairSource

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate that the key belongs to."""
        return self.chain[0]

    @property
    def not_after(self) -> datetime:
        """The moment from which verifiers refuse it."""
        return self.certificate.not_valid_after_utc

    @property
    def pem(self) -> bytes:
        """Key and chain in one PEM text, as OpenSSL loads them."""
        return key_pem(self.key) + b"".join(item.public_bytes(serialization.Encoding.PEM) for item in self.chain)

    def check_dates(self, now: datetime) -> None:
        """Raise CertificateError when *now* is outside the certificate's life."""
        if now >= self.not_after:
            problem = f"expired at {self.not_after.isoformat()}: put a renewed one in place"
            raise CertificateError(self.source.certificate, problem)
        check_begun(self.certificate, now, source=self.source.certificate)

    def check_name(self, name: str) -> None:
        """Raise CertificateError when the certificate may not be served as *name* (a DNS name or an IP address)."""
        served = _alternative_names(self.certificate)
        if not any(_covers(pattern, name) for pattern in served):
            has = ", ".join(served) or "none"
            problem = f"is not for {name}, by which the API server calls (its names: {has}): issue one with that name"
            raise CertificateError(self.source.certificate, problem)

    def check_issuer(self, bundle: Sequence[x509.Certificate], *, source: str) -> None:
        """Raise CertificateError when no certificate of *bundle* vouches for the end of the chain."""
        for below, above in zip(self.chain, self.chain[1:], strict=False):
            if not _issued_by(below, above):
                raise CertificateError(self.source.certificate, "its chain is out of order: serving certificate first")
        last = self.chain[-1]
        if last not in bundle and not any(_issued_by(last, root) for root in bundle):
            problem = f"does not vouch for {self.source.certificate}: use the bundle of the authority that issued it"
            raise CertificateError(source, problem)


def check_begun(certificate: x509.Certificate, now: datetime, *, source: str) -> None:
    """Raise CertificateError when *now* is before the certificate's life."""
    begin = certificate.not_valid_before_utc
    if now < begin:
        problem = f"is valid only from {begin.isoformat()}: set this machine's clock, or issue it again"
        raise CertificateError(source, problem)


def read_pair(certificate: bytes, key: bytes, *, source: PairSource) -> KeyPair:
    """
    Return the pair in two PEM texts.

    Raises: CertificateError when one of them is no PEM, the key is encrypted, or it belongs to another certificate.
    """
    chain = read_certificates(certificate, source=source.certificate)
    private = _read_key(key, source=source.key)
    if private.public_key() != chain[0].public_key():
        problem = f"does not belong to the first certificate of {source.certificate}: put both of one issue in place"
        raise CertificateError(source.key, problem)
    return KeyPair(chain, private, source)


def read_certificates(pem: bytes, *, source: str) -> tuple[x509.Certificate, ...]:
    """
    Return every certificate of a PEM text, in its order, at least one.

    Raises: CertificateError.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise CertificateError(source, f"holds no readable PEM certificate ({error})") from error


def key_pem(key: PrivateKeyTypes) -> bytes:
    """Return *key* as unencrypted PKCS#8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_key(pem: bytes, *, source: str) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise CertificateError(source, "is encrypted: use a key without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # The library's text is left out: it may quote what it could not read, and that is a private key.
        raise CertificateError(source, "holds no readable PEM private key") from error


def _alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _covers(pattern: str, name: str) -> bool:
    try:
        return ipaddress.ip_address(pattern) == ipaddress.ip_address(name)
    except ValueError:
        pass
    pattern, name = pattern.lower(), name.lower()
    # A wildcard stands for exactly one label, as Go's verifier has it.
    return pattern == name or (pattern.startswith("*.") and pattern[2:] == name.partition(".")[2])


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
