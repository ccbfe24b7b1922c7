"""
Make the certificates of one control plane: an authority, one certificate for all its servers, a token-signing key.

The webhook's own certificate is none of these: see ``adapters.certificates``.
"""

import ipaddress
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALIDITY = timedelta(days=365)
_CLOCK_SLOP = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pki:
    """Where the PEM files of one control plane are. The server's certificate also serves etcd and its clients."""

    ca_file: Path
    certificate_file: Path
    key_file: Path
    service_account_key_file: Path


def create_pki(folder: Path, *, now: datetime) -> Pki:
    """Write new certificates, valid for a year from *now*, and keys that only this user can read into *folder*."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki = Pki(
        ca_file=folder / "ca.crt",
        certificate_file=folder / "server.crt",
        key_file=folder / "server.key",
        service_account_key_file=folder / "service-account.key",
    )
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _ca_certificate(ca_key, now)
    server_key = ec.generate_private_key(ec.SECP256R1())
    pki.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    server = _server_certificate(server_key.public_key(), ca, ca_key, now=now)
    pki.certificate_file.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    write_private(pki.key_file, _pem(server_key))
    write_private(pki.service_account_key_file, _pem(ec.generate_private_key(ec.SECP256R1())))
    return pki


def write_private(path: Path, content: bytes) -> None:
    """Put *content* into *path*, a file that only this user can read and that is never there half written."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(unfinished).replace(path)


def _ca_certificate(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "userquota local control plane")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(name, name, key.public_key(), now=now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    key: ec.EllipticCurvePublicKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, *, now: datetime
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    # etcd asks its clients for a certificate, and the API servers show this one.
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        _builder(name, ca.subject, key, now=now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLOP)
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # "EC PRIVATE KEY", not PKCS #8: kube-apiserver takes the public half only out of this form.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
