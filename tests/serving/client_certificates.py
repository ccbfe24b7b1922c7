"""Client certificates as an admin makes them for the API server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Pem:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def into(self, context: ssl.SSLContext, folder: Path) -> None:
        """Have a client show this certificate."""
        path = folder / f"client-{abs(hash(self.certificate))}.pem"
        path.write_bytes(self.certificate + self.key)
        context.load_cert_chain(path)


class ClientAuthority:
    """An authority that signs client certificates and nothing else."""

    def __init__(self, name: str = "for API servers") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._now = datetime.now(UTC)  # noqa: TID251 - OpenSSL looks at the machine's clock
        builder = self._builder(self._name, self._key.public_key(), days=10)
        basics = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = builder.add_extension(basics, critical=True).sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def sign(
        self, name: str, *, others: tuple[str, ...] = (), purpose: x509.ObjectIdentifier = CLIENT, days: int = 1
    ) -> Pem:
        """Sign a certificate; with *days* below 0 it is over."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_named(name), key.public_key(), days=days)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if others:
            names = x509.SubjectAlternativeName([x509.DNSName(each) for each in others])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return Pem(
            certificate,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - timedelta(days=20))
            .not_valid_after(self._now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            # As openssl writes it: of two authorities of one name OpenSSL finds the right one by it, and only by it.
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
