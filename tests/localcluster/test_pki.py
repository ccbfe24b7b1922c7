"""The certificates do what etcd and the API servers need of them. That both accept them is shown by every start."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from localcluster.pki import Pki, create_pki, write_private


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return create_pki(tmp_path / "pki")


def context(pki: Pki, purpose: ssl.Purpose) -> ssl.SSLContext:
    made = ssl.create_default_context(purpose, cafile=str(pki.ca_file))
    made.load_cert_chain(pki.certificate_file, pki.key_file)
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def shake_hands(server: Pki, client: Pki, *, address: str) -> None:
    """Raise ssl.SSLError unless each side accepts the certificate of the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = context(server, ssl.Purpose.CLIENT_AUTH).wrap_bio(to_server, to_client, server_side=True)
    asking = context(client, ssl.Purpose.SERVER_AUTH).wrap_bio(to_client, to_server, server_hostname=address)
    left = {serving, asking}
    while left:
        for side in tuple(left):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            left.discard(side)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
def test_servers_and_clients_accept_one_another(pki: Pki, address: str) -> None:
    shake_hands(pki, pki, address=address)


def test_the_certificate_is_not_valid_for_another_address(pki: Pki) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake_hands(pki, pki, address="192.0.2.1")


def test_the_certificate_is_valid_for_the_addresses_that_are_given(tmp_path: Path) -> None:
    pki = create_pki(tmp_path / "pki", ["192.0.2.1"])
    for address in ("192.0.2.1", "127.0.0.1"):
        shake_hands(pki, pki, address=address)


def test_the_certificate_of_another_control_plane_is_refused(pki: Pki, tmp_path: Path) -> None:
    other = create_pki(tmp_path / "other")

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(other, pki, address="127.0.0.1")


def test_tokens_are_signed_with_a_key_of_their_own(pki: Pki) -> None:
    text = pki.service_account_key_file.read_bytes()
    key = load_pem_private_key(text, password=None)

    assert text.startswith(b"-----BEGIN EC PRIVATE KEY-----")
    for path in (pki.ca_file, pki.certificate_file):
        assert x509.load_pem_x509_certificate(path.read_bytes()).public_key() != key.public_key()


def test_the_front_proxy_has_an_authority_of_its_own(pki: Pki) -> None:
    """Where it was that of users, each of them could name anybody in a header."""
    proxy = x509.load_pem_x509_certificate(pki.front_proxy_certificate_file.read_bytes())
    proxy.verify_directly_issued_by(x509.load_pem_x509_certificate(pki.front_proxy_ca_file.read_bytes()))

    with pytest.raises(ValueError, match="does not match certificate issuer"):
        proxy.verify_directly_issued_by(x509.load_pem_x509_certificate(pki.ca_file.read_bytes()))


def test_nobody_else_can_read_a_key(pki: Pki) -> None:
    assert pki.key_file.stat().st_mode & 0o777 == 0o600
    assert pki.service_account_key_file.stat().st_mode & 0o777 == 0o600
    assert pki.front_proxy_key_file.stat().st_mode & 0o777 == 0o600
    assert pki.key_file.parent.stat().st_mode & 0o777 == 0o700


def test_a_private_file_replaces_one_that_others_could_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
