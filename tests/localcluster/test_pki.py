"""The certificates do what etcd and the API servers need of them, and no more."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from localcluster.pki import Pki, create_pki, write_private

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return create_pki(tmp_path / "pki", now=NOW)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def verify_as_server(pki: Pki, *, address: str, when: datetime) -> None:
    store = Store([read(pki.ca_file)])
    verifier = (
        PolicyBuilder().store(store).time(when).build_server_verifier(x509.IPAddress(ipaddress.ip_address(address)))
    )
    verifier.verify(read(pki.certificate_file), [])


@pytest.mark.parametrize(
    "when",
    [
        pytest.param(NOW - timedelta(minutes=50), id="a clock that is behind"),
        pytest.param(NOW, id="now"),
        pytest.param(NOW + timedelta(days=364), id="in a year"),
    ],
)
def test_the_certificate_is_good_for_loopback(pki: Pki, when: datetime) -> None:
    verify_as_server(pki, address="127.0.0.1", when=when)


def test_the_certificate_is_not_good_for_another_address(pki: Pki) -> None:
    with pytest.raises(VerificationError):
        verify_as_server(pki, address="192.0.2.1", when=NOW)


def test_the_certificate_is_not_good_after_its_year(pki: Pki) -> None:
    with pytest.raises(VerificationError):
        verify_as_server(pki, address="127.0.0.1", when=NOW + timedelta(days=366))


def test_nobody_else_can_read_a_key(pki: Pki) -> None:
    assert pki.key_file.stat().st_mode & 0o777 == 0o600
    assert pki.service_account_key_file.stat().st_mode & 0o777 == 0o600
    assert pki.key_file.parent.stat().st_mode & 0o777 == 0o700


def test_every_control_plane_has_an_authority_of_its_own(tmp_path: Path) -> None:
    first, second = (create_pki(tmp_path / name, now=NOW) for name in ("first", "second"))

    assert read(first.ca_file).public_key() != read(second.ca_file).public_key()


def test_a_private_file_replaces_one_that_others_could_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
