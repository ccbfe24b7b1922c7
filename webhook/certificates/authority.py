"""
Certificate authorities of our own, and the leaves they sign.

Pure X.509: nothing here reads a clock, a file or the cluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webhook.certificates.pairs import CertificateError, KeyPair, PairSource, key_pem, read_pair

AUTHORITY_LIFE = timedelta(days=365)
# Of the one of a single process, which nobody replaces while it runs.
LONG_LIFE = timedelta(days=3650)
# cert-manager's figure for leaves that are in memory only: short enough to do without revocation, long enough that none
# expires over a weekend with the API server down.
LEAF_LIFE = timedelta(days=7)
# The API server's clock may be behind ours: "certificate is not yet valid" (kubectl#1307).
BACKDATE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that may sign others, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone, as it goes into a caBundle."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, unencrypted: for the Secret and nothing else."""
        return key_pem(self.key)

    def is_expired(self, now: datetime) -> bool:
        """Whether verifiers refuse what it signed."""
        return now >= self.certificate.not_valid_after_utc


def create_authority(now: datetime, *, life: timedelta = AUTHORITY_LIFE) -> Authority:
    """
    Return a new authority that may sign leaves and nothing below them (path length 0).

    ECDSA P-256: OpenSSL signs ten times as many handshakes with it as with RSA-2048. The serial number is random and
    part of the name, so that people and verifiers can distinguish two authorities that overlap in a caBundle.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = _name(f"userquota-ca-{serial:040x}"[:21])
    builder = _builder(name, name, key.public_key(), serial=serial).not_valid_before(now - BACKDATE)
    certificate = (
        builder.not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def read_authority(certificate: bytes, key: bytes, *, source: PairSource) -> Authority:
    """
    Return the authority in two PEM texts, whatever its dates are.

    Raises: CertificateError when they are no PEM, do not belong together, or the certificate may not sign others (a
    serving certificate put where an authority belongs).
    """
    pair = read_pair(certificate, key, source=source)
    if not _may_sign(pair.certificate):
        raise CertificateError(source.certificate, "is no certificate authority (its basic constraints do not say CA)")
    if not isinstance(pair.key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError(source.key, "is neither an ECDSA nor an RSA key")
    return Authority(pair.certificate, pair.key)


def renewal_time(certificate: x509.Certificate) -> datetime:
    """Return when *certificate* is to be replaced: after two thirds of its life."""
    begin = certificate.not_valid_before_utc
    return begin + (certificate.not_valid_after_utc - begin) * 2 / 3


def sign_leaf(authority: Authority, names: Sequence[str], now: datetime) -> KeyPair:
    """
    Return a serving pair with a new key for *names* (DNS names or IP addresses).

    It never outlives its authority. The common name is fixed, because it is limited to 64 characters and the API server
    checks the alternative names alone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    serial = x509.random_serial_number()
    certificate = (
        _builder(_name("userquota"), issuer.subject, key.public_key(), serial=serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + LEAF_LIFE, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative_name(name) for name in names]), critical=False)
        .add_extension(_issuer_id(issuer, authority.key), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    source = "the serving certificate made in memory"
    return KeyPair((certificate,), key, PairSource(source, source))


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, *, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _issuer_id(
    issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
