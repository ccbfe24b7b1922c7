"""
Make the certificates of one control plane: an authority, one certificate for all its servers, a token-signing key.

For tests and trials only. Nothing of this is the webhook's own certificate: see ``webhook.certificates``.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

_NAME = "userquota local control plane"
FRONT_PROXY = "front-proxy-client"
"""The common name by which an API server proves that it passes a request on, as kubeadm has it."""


@dataclass(frozen=True, slots=True)
class Pki:
    """
    The PEM files of one control plane. etcd, the API servers and etcd's clients share one certificate.

    With that of the front proxy, of an authority of its own, API servers prove that they pass a request on.
    """

    ca_file: Path
    certificate_file: Path
    key_file: Path
    service_account_key_file: Path
    front_proxy_ca_file: Path
    front_proxy_certificate_file: Path
    front_proxy_key_file: Path


def create_pki(folder: Path, addresses: Sequence[str] = ()) -> Pki:
    """
    Write new certificates and keys, which only this user can read, into *folder*.

    The servers' certificate is for *addresses* beside those of loopback.

    The certificates are valid from the year 2000 to 3000, for clocks that are wrong, too. The keys are of the form "EC
    PRIVATE KEY", not PKCS #8: kube-apiserver derives the public key of the token-signing key from that form only.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki = Pki(
        ca_file=folder / "ca.crt",
        certificate_file=folder / "server.crt",
        key_file=folder / "server.key",
        service_account_key_file=folder / "service-account.key",
        front_proxy_ca_file=folder / "front-proxy-ca.crt",
        front_proxy_certificate_file=folder / "front-proxy.crt",
        front_proxy_key_file=folder / "front-proxy.key",
    )
    authority = trustme.CA(organization_name=_NAME)
    # For servers and clients: etcd demands a certificate of its clients, and the API servers present this one.
    names = ("127.0.0.1", "localhost", *addresses)
    server = authority.issue_cert(*names, common_name="127.0.0.1", organization_name=_NAME)
    tokens = authority.issue_cert(common_name="service accounts")
    pki.ca_file.write_bytes(authority.cert_pem.bytes())
    pki.certificate_file.write_bytes(server.cert_chain_pems[0].bytes())
    write_private(pki.key_file, server.private_key_pem.bytes())
    write_private(pki.service_account_key_file, tokens.private_key_pem.bytes())
    front_proxy_authority = trustme.CA(organization_name=f"{_NAME}: front proxy")
    front_proxy = front_proxy_authority.issue_cert(common_name=FRONT_PROXY, organization_name=_NAME)
    pki.front_proxy_ca_file.write_bytes(front_proxy_authority.cert_pem.bytes())
    pki.front_proxy_certificate_file.write_bytes(front_proxy.cert_chain_pems[0].bytes())
    write_private(pki.front_proxy_key_file, front_proxy.private_key_pem.bytes())
    return pki


def write_private(path: Path, content: bytes) -> None:
    """Replace *path* in one step with a file of *content* that only this user can read."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(unfinished).replace(path)
