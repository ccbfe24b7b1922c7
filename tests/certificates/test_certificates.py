from __future__ import annotations

import asyncio
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from webhook.certificates import CertificateError, called_as, from_files, self_signed, serving_names
from webhook.certificates.authority import Authority, create_authority, read_authority, sign_leaf
from webhook.certificates.files import CertificateFiles, FileIdentity
from webhook.certificates.pairs import KeyPair, PairSource
from webhook.certificates.signed import SignedIdentity
from webhook.certificates.succession import Authorities, create_authorities, promote, replace_due
from webhook.ports import WebhookError
from webhook.registration.bundles import certificates

NAME = "userquota.userquota-system.svc"
NAMES = (NAME, "127.0.0.1")
SOURCE = PairSource("Secret userquota-ca, key tls.crt", "Secret userquota-ca, key tls.key")


class HandClock:
    """A clock that starts with the machine's and is moved by the test."""

    def __init__(self) -> None:
        self.instant = datetime.fromtimestamp(time.time(), tz=UTC)

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    def turn(self, by: timedelta) -> None:
        self.instant += by


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def trusting(bundle: bytes) -> ssl.SSLContext:
    client = ssl.create_default_context(cadata=bundle.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    return client


def trusting_anybody() -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return client


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, *, name: str | None = NAME) -> ssl.SSLObject:
    """Return the client's end of a handshake without a socket, its certificate verified as *client* asks."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for end in (here, there):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return here


def served_serial(server: ssl.SSLContext, client: ssl.SSLContext | None = None) -> int:
    der = shake_hands(server, client or trusting_anybody()).getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


class TestAuthority:
    def test_it_may_sign_leaves_and_nothing_below_them(self, clock: HandClock) -> None:
        extension = create_authority(clock.now()).certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (extension.critical, extension.value) == (True, x509.BasicConstraints(ca=True, path_length=0))

    def test_it_lives_a_year_and_was_valid_an_hour_ago(self, clock: HandClock) -> None:
        now = clock.now().replace(microsecond=0)
        certificate = create_authority(now).certificate
        assert certificate.not_valid_before_utc == now - timedelta(hours=1)
        assert certificate.not_valid_after_utc == now + timedelta(days=365)

    def test_it_has_a_p256_key_and_names_it_as_subject_and_authority(self, clock: HandClock) -> None:
        authority = create_authority(clock.now())
        extensions = authority.certificate.extensions
        subject = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
        assert authority.key.curve.name == "secp256r1"
        assert issuer.key_identifier == subject.digest

    def test_two_of_one_instant_differ_in_serial_number_and_name(self, clock: HandClock) -> None:
        one, two = (create_authority(clock.now()).certificate for _ in range(2))
        assert one.serial_number != two.serial_number
        assert one.subject != two.subject

    def test_what_was_written_is_read_back(self, clock: HandClock) -> None:
        made = create_authority(clock.now())
        read = read_authority(made.certificate_pem, made.key_pem, source=SOURCE)
        assert read.certificate == made.certificate
        assert read.key_pem == made.key_pem

    def test_a_serving_certificate_in_its_place_is_refused(self, clock: HandClock) -> None:
        leaf = sign_leaf(create_authority(clock.now()), NAMES, clock.now())
        key, certificate = split(leaf)
        with pytest.raises(CertificateError) as refusal:
            read_authority(certificate, key, source=SOURCE)
        assert str(refusal.value) == (
            "Secret userquota-ca, key tls.crt: is no certificate authority (its basic constraints do not say CA)"
        )

    def test_a_certificate_without_constraints_is_refused(self, clock: HandClock) -> None:
        with pytest.raises(CertificateError, match="is no certificate authority"):
            read_authority(*bare_certificate(clock), source=SOURCE)

    def test_a_key_that_cannot_sign_as_we_do_is_refused(self, clock: HandClock) -> None:
        certificate, key = foreign_authority(ed25519.Ed25519PrivateKey.generate(), clock)
        with pytest.raises(CertificateError) as refusal:
            read_authority(certificate, key, source=SOURCE)
        assert str(refusal.value) == "Secret userquota-ca, key tls.key: is neither an ECDSA nor an RSA key"

    def test_one_of_another_kind_of_key_signs_too(self, clock: HandClock) -> None:
        key = rsa.generate_private_key(65537, 2048)
        authority = read_authority(*foreign_authority(key, clock), source=SOURCE)
        identity = SignedIdentity(Authorities(authority), NAMES, clock=clock)
        shaken = shake_hands(identity.context, ssl.create_default_context(cadata=identity.ca_bundle.decode()))
        assert shaken.version() == "TLSv1.3"


class TestSignedIdentity:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_client_that_trusts_its_bundle_is_served_by_every_name(self, clock: HandClock, name: str) -> None:
        identity = self_signed(NAMES, clock)
        assert shake_hands(identity.context, trusting(identity.ca_bundle), name=name).version() == "TLSv1.3"

    def test_a_client_that_sends_no_name_is_served(self, clock: HandClock) -> None:
        identity = self_signed(NAMES, clock)
        client = trusting(identity.ca_bundle)
        client.check_hostname = False
        assert shake_hands(identity.context, client, name=None).version() == "TLSv1.3"

    def test_a_name_it_does_not_have_is_not_believed(self, clock: HandClock) -> None:
        identity = self_signed(NAMES, clock)
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            shake_hands(identity.context, trusting(identity.ca_bundle), name="userquota.other.svc")

    def test_the_bundle_of_another_process_does_not_trust_it(self, clock: HandClock) -> None:
        stranger = self_signed(NAMES, clock)
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(self_signed(NAMES, clock).context, trusting(stranger.ca_bundle))

    def test_tls_1_2_is_the_oldest_it_speaks(self, clock: HandClock) -> None:
        identity = self_signed(NAMES, clock)
        client = trusting_anybody()
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        assert shake_hands(identity.context, client).version() == "TLSv1.2"
        assert identity.context.minimum_version is ssl.TLSVersion.TLSv1_2

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
    def test_tls_1_1_is_refused(self, clock: HandClock) -> None:
        client = trusting_anybody()
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
        client.set_ciphers("DEFAULT@SECLEVEL=0")
        with pytest.raises(ssl.SSLError, match=r"UNSUPPORTED_PROTOCOL|unsupported protocol"):
            shake_hands(self_signed(NAMES, clock).context, client)

    def test_http_1_1_is_all_it_offers(self, clock: HandClock) -> None:
        client = trusting_anybody()
        client.set_alpn_protocols(["h2", "http/1.1"])
        shaken = shake_hands(self_signed(NAMES, clock).context, client)
        assert shaken.selected_alpn_protocol() == "http/1.1"

    @pytest.mark.parametrize(
        ("hours", "renewed"),
        [
            pytest.param(0, False, id="at once: no"),
            # The life is 169 h (7 days and the hour before), two thirds of it are 112 h 40 min, one hour of them past.
            pytest.param(111, False, id="before two thirds of its life: no"),
            pytest.param(112, True, id="after two thirds of its life: yes"),
            pytest.param(24 * 30, True, id="the machine slept past its end: yes"),
            pytest.param(-2, True, id="the clock was set back before its beginning: yes"),
        ],
    )
    async def test_a_leaf_is_renewed_by_wall_clock(self, clock: HandClock, hours: int, *, renewed: bool) -> None:
        identity = self_signed(NAMES, clock)
        context, before = identity.context, served_serial(identity.context)
        clock.turn(timedelta(hours=hours))
        await identity.refresh()
        assert identity.context is context
        assert (served_serial(context) != before) is renewed
        if renewed:
            assert identity.not_after - clock.now().replace(microsecond=0) == timedelta(days=7)

    async def test_a_renewed_leaf_is_trusted_by_the_same_bundle(self, clock: HandClock) -> None:
        identity = self_signed(NAMES, clock)
        bundle = identity.ca_bundle
        clock.turn(timedelta(hours=-2))
        await identity.refresh()
        shake_hands(identity.context, trusting(bundle))

    async def test_a_leaf_does_not_outlive_its_authority(self, clock: HandClock) -> None:
        identity = self_signed(NAMES, clock)
        end = authority_end(identity)
        clock.instant = end - timedelta(days=1)
        await identity.refresh()
        assert identity.not_after == end

    async def test_an_authority_at_its_end_signs_no_more_and_the_old_leaf_stays(self, clock: HandClock) -> None:
        identity = self_signed(NAMES, clock)
        before, end = served_serial(identity.context), authority_end(identity)
        clock.instant = end
        with pytest.raises(
            CertificateError, match=r"the certificate authority: expired at .*: replace it, see certs/README.md"
        ):
            await identity.refresh()
        assert served_serial(identity.context) == before

    async def test_keeping_fresh_goes_on_after_an_error(self, clock: HandClock) -> None:
        authority = create_authority(clock.now())
        identity = SignedIdentity(Authorities(authority), NAMES, clock=clock, poll_seconds=0.01)
        before = served_serial(identity.context)
        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(identity.keep_fresh())
            clock.instant = authority.certificate.not_valid_after_utc
            await until(lambda: bool(logs))
            clock.instant = authority.certificate.not_valid_before_utc + timedelta(days=300)
            await until(lambda: served_serial(identity.context) != before)
            task.cancel()
        assert {entry["event"] for entry in logs} == {
            "certificates not refreshed",
            "serving certificate renewed",
        }

    @pytest.mark.parametrize(
        "platform",
        [
            pytest.param("linux", id="where files can live in memory"),
            pytest.param("darwin", id="where they cannot"),
        ],
    )
    def test_no_key_is_left_on_disk(
        self, clock: HandClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
    ) -> None:
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        identity = self_signed(NAMES, clock)
        shake_hands(identity.context, trusting(identity.ca_bundle))
        assert list(tmp_path.iterdir()) == []


class Shared:
    """Stands for the Secret: the authorities that all replicas share, or what is wrong with it."""

    def __init__(self, authorities: Authorities) -> None:
        self.authorities = authorities
        self.error: WebhookError | None = None

    async def agree(self, _: Authorities) -> Authorities:
        if self.error is not None:
            raise self.error
        return self.authorities


class TestSuccession:
    """Another authority is stored than the one that signs."""

    @pytest.fixture
    def shared(self, clock: HandClock) -> Shared:
        return Shared(Authorities(create_authority(clock.now())))

    @pytest.fixture
    def identity(self, shared: Shared, clock: HandClock) -> SignedIdentity:
        return SignedIdentity(shared.authorities, NAMES, clock=clock, agree=shared.agree)

    async def replace(self, shared: Shared, identity: SignedIdentity, clock: HandClock) -> tuple[bytes, bytes]:
        """Return the old and the new certificate of the authority."""
        old = shared.authorities.signing.certificate_pem
        shared.authorities = Authorities(create_authority(clock.now()))
        await identity.refresh()
        return old, shared.authorities.signing.certificate_pem

    async def test_both_are_published_and_the_old_one_signs(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        old, new = await self.replace(shared, identity, clock)
        assert identity.ca_bundle == new + old
        shake_hands(identity.context, trusting(old))

    async def test_the_new_one_signs_once_both_have_been_trusted_for_a_minute(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        old, new = await self.replace(shared, identity, clock)
        identity.trusted((new, old))
        clock.turn(timedelta(seconds=59))
        identity.trusted((new, old))
        shake_hands(identity.context, trusting(old))
        clock.turn(timedelta(seconds=1))
        identity.trusted((new, old))
        shake_hands(identity.context, trusting(new))
        assert identity.ca_bundle == new

    async def test_the_minute_begins_anew_when_the_new_one_is_removed(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        old, new = await self.replace(shared, identity, clock)
        for held in ((new, old), (old,), (new, old)):
            identity.trusted(held)
            clock.turn(timedelta(seconds=59))
        shake_hands(identity.context, trusting(old))

    async def test_the_new_one_signs_at_once_when_the_old_one_is_not_trusted_any_more(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        _, new = await self.replace(shared, identity, clock)
        identity.trusted((new,))
        shake_hands(identity.context, trusting(new))
        assert identity.ca_bundle == new

    async def test_an_empty_bundle_changes_nothing(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        old, new = await self.replace(shared, identity, clock)
        identity.trusted(())
        assert identity.ca_bundle == new + old

    async def test_a_replacement_that_is_undone_is_forgotten(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        before = shared.authorities
        old, _ = await self.replace(shared, identity, clock)
        shared.authorities = before
        await identity.refresh()
        assert identity.ca_bundle == old

    async def test_an_authority_that_has_expired_is_followed_by_another_without_a_restart(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        clock.instant = authority_end(identity)
        with pytest.raises(CertificateError, match=r"replace it, see certs/README\.md"):
            await identity.refresh()
        _, new = await self.replace(shared, identity, clock)
        assert identity.ca_bundle == new
        assert identity.not_after > clock.now()

    async def test_that_no_other_can_be_read_is_the_reason_that_is_given(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        clock.instant = authority_end(identity)
        shared.error = WebhookError("the Secret cannot be read")
        with pytest.raises(WebhookError, match="the Secret cannot be read"):
            await identity.refresh()

    async def test_one_that_expires_while_its_successor_waits_is_followed_at_once(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        end = authority_end(identity)
        clock.instant = end - timedelta(seconds=5)
        _, new = await self.replace(shared, identity, clock)
        clock.instant = end
        await identity.refresh()
        assert identity.ca_bundle == new
        assert identity.not_after > clock.now()

    async def test_without_an_answer_everything_stays_and_leaves_are_renewed(
        self, shared: Shared, identity: SignedIdentity, clock: HandClock
    ) -> None:
        bundle, serial = identity.ca_bundle, served_serial(identity.context)
        shared.error = WebhookError("the Secret cannot be read")
        clock.turn(timedelta(days=6))
        with pytest.raises(WebhookError, match="the Secret cannot be read"):
            await identity.refresh()
        assert identity.ca_bundle == bundle
        assert served_serial(identity.context) != serial

    async def test_an_authority_that_has_long_been_trusted_signs_at_the_next_look(self, clock: HandClock) -> None:
        shared = Shared(create_authorities(clock.now()))
        identity = SignedIdentity(shared.authorities, NAMES, clock=clock, agree=shared.agree)
        held = [each.certificate_pem for each in shared.authorities.all]
        identity.trusted(held)
        clock.turn(timedelta(minutes=1))
        shared.authorities = promote(shared.authorities, clock.now())
        await identity.refresh()
        shake_hands(identity.context, trusting(held[0]))
        identity.trusted(held)
        shake_hands(identity.context, trusting(held[1]))
        assert identity.ca_bundle == b"".join(each.certificate_pem for each in shared.authorities.all)

    async def test_all_three_are_published_until_the_new_one_signs(self, clock: HandClock) -> None:
        shared = Shared(create_authorities(clock.now()))
        identity = SignedIdentity(shared.authorities, NAMES, clock=clock, agree=shared.agree)
        old = shared.authorities.signing.certificate_pem
        shared.authorities = promote(shared.authorities, clock.now())
        await identity.refresh()
        new = [each.certificate_pem for each in shared.authorities.all]
        assert identity.ca_bundle == b"".join((*new, old))


class TestReplacing:
    """Which authorities are due, by the clock alone."""

    def test_of_new_ones_the_first_has_half_the_life_of_the_second(self, clock: HandClock) -> None:
        made = create_authorities(clock.now())
        assert made.following is not None
        lives = [life_of(each) for each in made.all]
        assert lives == [timedelta(days=182, hours=13), timedelta(days=365, hours=1)]

    def test_nothing_is_due_before_two_thirds_of_a_life(self, clock: HandClock) -> None:
        made = create_authorities(clock.now())
        assert replace_due(made, clock.now() + timedelta(days=121)) is made

    def test_the_one_that_signs_changes_every_four_months_and_never_both(self, clock: HandClock) -> None:
        found, changed_at = create_authorities(clock.now()), [clock.now()]
        begun = clock.now()
        while clock.now() < begun + timedelta(days=5 * 365):
            clock.turn(timedelta(days=1))
            before, found = found, replace_due(found, clock.now())
            if found is not before:
                assert found.signing is before.following
                changed_at.append(clock.now())
            assert all(not each.is_expired(clock.now() + timedelta(days=60)) for each in found.all)
        assert {(later - earlier).days for earlier, later in pairwise(changed_at)} <= {121, 122, 123}
        assert len(changed_at) == 15

    def test_one_that_is_alone_gets_another_beside_it_and_goes_on(self, clock: HandClock) -> None:
        alone = Authorities(create_authority(clock.now(), life=timedelta(days=3650)))
        found = replace_due(alone, clock.now())
        assert found.signing is alone.signing
        assert found.following is not None
        assert replace_due(found, clock.now()) is found

    def test_after_years_without_a_replica_both_are_new(self, clock: HandClock) -> None:
        made = create_authorities(clock.now())
        clock.turn(timedelta(days=1000))
        found = replace_due(made, clock.now())
        assert not {each.certificate for each in found.all} & {each.certificate for each in made.all}
        assert not any(each.is_expired(clock.now()) for each in found.all)


class TestCalls:
    """What an API server that calls would make of what is served."""

    def test_one_that_trusts_the_authority_and_calls_the_name_is_content(self, clock: HandClock) -> None:
        identity, other = self_signed(NAMES, clock), self_signed(NAMES, clock)
        identity.check_call(NAME, other.ca_bundle + identity.ca_bundle)
        identity.check_call("127.0.0.1", identity.ca_bundle)

    def test_without_a_bundle_the_name_is_checked(self, clock: HandClock) -> None:
        identity = self_signed(NAMES, clock)
        identity.check_call(NAME, b"")
        with pytest.raises(CertificateError, match=r"is not for other\.userquota-system\.svc"):
            identity.check_call("other.userquota-system.svc", b"")

    @pytest.mark.parametrize("trusts_another", [True, False])
    def test_another_authority_or_none_is_told(self, clock: HandClock, *, trusts_another: bool) -> None:
        identity = self_signed(NAMES, clock)
        bundle = self_signed(NAMES, clock).ca_bundle if trusts_another else b"no certificate"
        with pytest.raises(CertificateError, match="is not trusted by the caBundle"):
            identity.check_call(NAME, bundle)

    def test_an_expired_certificate_is_told(self, clock: HandClock) -> None:
        clock.turn(timedelta(days=-30))
        identity = self_signed(NAMES, clock)
        with pytest.raises(CertificateError, match="certificate has expired"):
            identity.check_call(NAME, identity.ca_bundle)

    def test_clients_that_have_to_prove_themselves_change_nothing(self, clock: HandClock) -> None:
        identity = self_signed(NAMES, clock)
        identity.clients.trust_clients(self_signed(NAMES, clock).ca_bundle)
        identity.check_call(NAME, identity.ca_bundle)


class TestNames:
    @pytest.mark.parametrize(
        ("url", "first"),
        [
            pytest.param(None, "userquota.quota.svc", id="in a cluster the Service is called"),
            pytest.param("https://quota.example:8443/hooks", "quota.example", id="a URL's host is called"),
            pytest.param("https://192.0.2.7:8443", "192.0.2.7", id="an address is called"),
            pytest.param("https://[2001:db8::7]:8443", "2001:db8::7", id="an IPv6 address is called"),
        ],
    )
    def test_the_name_called_comes_first_and_the_service_is_always_there(self, url: str | None, first: str) -> None:
        names = serving_names("quota", advertise_url=url)
        assert names[0] == called_as("quota", advertise_url=url) == first
        assert {"userquota.quota", "userquota.quota.svc", "userquota.quota.svc.cluster.local"} <= set(names)
        assert len(set(names)) == len(names)

    def test_a_namespace_of_the_greatest_length_is_served(self, clock: HandClock) -> None:
        names = serving_names("n" * 63)
        identity = self_signed(names, clock)
        shake_hands(identity.context, trusting(identity.ca_bundle), name=names[0])


class Files:
    """Certificate files of an authority, in a folder of the test."""

    def __init__(self, folder: Path, clock: HandClock) -> None:
        self.certificate, self.key, self.ca = (folder / name for name in ("tls.crt", "tls.key", "ca.crt"))
        self.clock = clock
        self.authority = create_authority(clock.now())
        self.ca.write_bytes(self.authority.certificate_pem)
        self.issue()

    def issue(self, *, names: Sequence[str] = NAMES) -> KeyPair:
        pair = sign_leaf(self.authority, names, self.clock.now())
        key, certificate = split(pair)
        self.key.write_bytes(key)
        self.certificate.write_bytes(certificate)
        return pair

    def identity(self) -> FileIdentity:
        return from_files(self.certificate, self.key, ca=self.ca, called_as=NAME, clock=self.clock)


@pytest.fixture
def files(tmp_path: Path, clock: HandClock) -> Files:
    return Files(tmp_path, clock)


class TestFileIdentity:
    def test_the_pair_is_served_and_the_ca_file_is_published(self, files: Files) -> None:
        identity = files.identity()
        assert identity.ca_bundle == files.ca.read_bytes()
        shake_hands(identity.context, trusting(identity.ca_bundle))

    def test_without_a_ca_file_nothing_is_published(self, files: Files) -> None:
        assert from_files(files.certificate, files.key, clock=files.clock).ca_bundle == b""

    def test_a_chain_below_the_ca_is_served_whole(self, files: Files, clock: HandClock) -> None:
        root_key = ec.generate_private_key(ec.SECP256R1())
        root_pem, _ = foreign_authority(root_key, clock)
        root = x509.load_pem_x509_certificate(root_pem)
        between = reissue(files.authority.certificate, root, root_key)
        files.ca.write_bytes(root_pem)
        files.certificate.write_bytes(files.certificate.read_bytes() + between)
        identity = files.identity()
        shake_hands(identity.context, ssl.create_default_context(cadata=root_pem.decode()))

    async def test_a_renewed_pair_is_served_by_the_same_context(self, files: Files) -> None:
        identity = files.identity()
        context = identity.context
        renewed = files.issue()
        await identity.refresh()
        assert identity.context is context
        assert served_serial(context) == renewed.certificate.serial_number
        await identity.refresh()
        assert served_serial(context) == renewed.certificate.serial_number

    async def test_a_new_ca_file_is_published(self, files: Files, clock: HandClock) -> None:
        identity = files.identity()
        files.ca.write_bytes(files.ca.read_bytes() + create_authority(clock.now()).certificate_pem)
        await identity.refresh()
        assert identity.ca_bundle == files.ca.read_bytes()

    def replace_authority(self, files: Files) -> tuple[bytes, bytes]:
        """Have all three files change at once, as cert-manager does. Return the old and the new authority."""
        old, files.authority = files.authority.certificate_pem, create_authority(files.clock.now())
        files.ca.write_bytes(files.authority.certificate_pem)
        files.issue()
        return old, files.authority.certificate_pem

    async def test_another_authority_is_published_before_its_pair_is_served(self, files: Files) -> None:
        identity = files.identity()
        old, new = self.replace_authority(files)
        await identity.refresh()
        shake_hands(identity.context, trusting(old))
        assert set(certificates(identity.ca_bundle)) == {old, new}
        identity.trusted((new, old))
        files.clock.turn(timedelta(seconds=59))
        identity.trusted((new, old))
        shake_hands(identity.context, trusting(old))
        files.clock.turn(timedelta(seconds=1))
        await identity.refresh()
        shake_hands(identity.context, trusting(new))
        assert identity.ca_bundle == new

    @pytest.mark.parametrize("why", ["nobody trusts the old one", "the old pair has expired"])
    async def test_it_is_served_at_once_where_waiting_helps_nobody(self, files: Files, why: str) -> None:
        identity = files.identity()
        if why == "the old pair has expired":
            files.clock.instant = identity.not_after
        _, new = self.replace_authority(files)
        await identity.refresh()
        identity.trusted((new,))
        assert (
            served_serial(identity.context)
            == x509.load_pem_x509_certificate(files.certificate.read_bytes()).serial_number
        )

    async def test_a_replacement_that_is_replaced_is_never_served(self, files: Files) -> None:
        identity = files.identity()
        self.replace_authority(files)
        await identity.refresh()
        old = identity.ca_bundle
        _, newest = self.replace_authority(files)
        await identity.refresh()
        assert newest in identity.ca_bundle
        assert len(certificates(old)) == len(certificates(identity.ca_bundle)) == 2

    async def test_a_torn_pair_keeps_the_old_one_until_the_other_half_is_there(self, files: Files) -> None:
        identity = files.identity()
        before, old_key = served_serial(identity.context), files.key.read_bytes()
        renewed = files.issue()
        new_key = files.key.read_bytes()
        files.key.write_bytes(old_key)
        with pytest.raises(CertificateError, match="does not belong to the first certificate of"):
            await identity.refresh()
        assert served_serial(identity.context) == before
        files.key.write_bytes(new_key)
        await identity.refresh()
        assert served_serial(identity.context) == renewed.certificate.serial_number

    async def test_a_pair_of_tomorrow_is_taken_tomorrow(self, files: Files, clock: HandClock) -> None:
        identity = files.identity()
        clock.turn(timedelta(days=1))
        tomorrow = files.issue()
        clock.turn(timedelta(days=-1))
        with pytest.raises(CertificateError, match="is valid only from"):
            await identity.refresh()
        clock.turn(timedelta(days=1))
        await identity.refresh()
        assert served_serial(identity.context) == tomorrow.certificate.serial_number

    @pytest.mark.parametrize(
        "ciphers",
        [
            pytest.param("ECDHE-RSA-AES128-GCM-SHA256", id="to clients that know RSA only: nothing of the old pair"),
            pytest.param("ECDHE-ECDSA-AES128-GCM-SHA256", id="to clients that know ECDSA: the new pair"),
        ],
    )
    async def test_after_a_change_of_key_type_only_the_new_pair_is_served(
        self, files: Files, clock: HandClock, ciphers: str
    ) -> None:
        key = rsa.generate_private_key(65537, 2048)
        certificate, key_text = foreign_authority(key, clock)
        files.certificate.write_bytes(certificate)
        files.key.write_bytes(key_text)
        identity = from_files(files.certificate, files.key, clock=clock)
        new = files.issue().certificate.serial_number
        await identity.refresh()
        client = trusting_anybody()
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(ciphers)
        if "ECDSA" in ciphers:
            assert served_serial(identity.context, client) == new
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher"):
                served_serial(identity.context, client)

    async def test_a_pair_that_stays_bad_is_warned_of_once(self, files: Files) -> None:
        identity = FileIdentity(
            CertificateFiles(files.certificate, files.key), clock=files.clock, called_as=NAME, poll_seconds=0.005
        )
        files.key.unlink()
        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(identity.keep_fresh())
            await asyncio.sleep(0.2)
            files.issue()
            await until(lambda: any(entry["event"] == "serving certificate reloaded" for entry in logs))
            task.cancel()
        assert [entry["log_level"] for entry in logs if "stays" in entry["event"]][:1] == ["warning"]
        missing = f"{files.key}: cannot be read (No such file or directory): give a file this user may read"
        assert [entry["reason"] for entry in logs if "reason" in entry].count(missing) == 1

    def test_a_missing_file_is_reported_by_its_name(self, files: Files) -> None:
        files.certificate.unlink()
        assert refusal(files) == (
            f"{files.certificate}: cannot be read (No such file or directory): give a file this user may read"
        )

    def test_what_is_no_certificate_is_reported(self, files: Files) -> None:
        files.certificate.write_text("hello\n")
        assert refusal(files).startswith(f"{files.certificate}: holds no readable PEM certificate (")

    def test_what_is_no_key_is_reported_and_not_quoted(self, files: Files) -> None:
        files.key.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
        assert refusal(files) == f"{files.key}: holds no readable PEM private key"

    def test_an_encrypted_key_is_reported(self, files: Files) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        locked = serialization.BestAvailableEncryption(b"secret")
        files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
        assert refusal(files) == f"{files.key}: is encrypted: use a key without a passphrase"

    def test_the_key_of_another_certificate_is_reported(self, files: Files) -> None:
        certificate = files.certificate.read_bytes()
        files.issue()
        files.certificate.write_bytes(certificate)
        assert refusal(files) == (
            f"{files.key}: does not belong to the first certificate of {files.certificate}: "
            "put both of one issue in place"
        )

    def test_an_expired_certificate_is_reported(self, files: Files, clock: HandClock) -> None:
        clock.turn(timedelta(days=7))
        end = x509.load_pem_x509_certificate(files.certificate.read_bytes()).not_valid_after_utc
        assert refusal(files) == f"{files.certificate}: expired at {end.isoformat()}: put a renewed one in place"

    def test_a_certificate_for_another_name_is_reported(self, files: Files) -> None:
        files.issue(names=("userquota.other.svc", "192.0.2.1"))
        assert refusal(files) == (
            f"{files.certificate}: is not for {NAME}, by which the API server calls "
            "(its names: userquota.other.svc, 192.0.2.1): issue one with that name"
        )

    def test_a_certificate_without_names_is_reported(self, files: Files, clock: HandClock) -> None:
        certificate, key = bare_certificate(clock)
        files.certificate.write_bytes(certificate)
        files.key.write_bytes(key)
        assert "(its names: none)" in refusal(files)

    def test_a_wildcard_stands_for_one_label(self, files: Files) -> None:
        files.issue(names=("*.userquota-system.svc",))
        shake_hands(files.identity().context, trusting(files.ca.read_bytes()))
        files.issue(names=("*.svc",))
        assert "is not for" in refusal(files)

    def test_a_ca_file_of_another_authority_is_reported(self, files: Files, clock: HandClock) -> None:
        files.ca.write_bytes(create_authority(clock.now()).certificate_pem)
        assert refusal(files) == (
            f"{files.ca}: does not vouch for {files.certificate}: use the bundle of the authority that issued it"
        )

    def test_a_chain_out_of_order_is_reported(self, files: Files, clock: HandClock) -> None:
        stranger = create_authority(clock.now()).certificate_pem
        files.certificate.write_bytes(files.certificate.read_bytes() + stranger)
        assert refusal(files) == f"{files.certificate}: its chain is out of order: serving certificate first"

    def test_a_key_too_weak_is_reported(self, files: Files, clock: HandClock) -> None:
        weak = rsa.generate_private_key(65537, 1024)  # noqa: S505
        certificate, key = foreign_authority(weak, clock)
        files.certificate.write_bytes(certificate)
        files.key.write_bytes(key)
        with pytest.raises(CertificateError) as refusal:
            from_files(files.certificate, files.key, clock=clock)
        assert str(refusal.value) == f"{files.certificate}: OpenSSL refuses it (EE_KEY_TOO_SMALL): issue another"


def refusal(files: Files) -> str:
    with pytest.raises(CertificateError) as refusal:
        files.identity()
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for is another task's doing, seen from outside
            await asyncio.sleep(0.01)


def split(pair: KeyPair) -> tuple[bytes, bytes]:
    """Return the key and the chain of *pair*, a PEM text each."""
    key, end, chain = pair.pem.partition(b"-----END PRIVATE KEY-----\n")
    return key + end, chain


def authority_end(identity: SignedIdentity) -> datetime:
    return x509.load_pem_x509_certificate(identity.ca_bundle).not_valid_after_utc


def life_of(authority: Authority) -> timedelta:
    return authority.certificate.not_valid_after_utc - authority.certificate.not_valid_before_utc


def foreign_authority(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, clock: HandClock
) -> tuple[bytes, bytes]:
    """Return certificate and key of an authority made by other software: another key, and no key identifiers."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another authority")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.now() - timedelta(hours=1))
        .not_valid_after(clock.now() + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), pem


def bare_certificate(clock: HandClock) -> tuple[bytes, bytes]:
    """Return certificate and key without any extension, as old tools make them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    begin, end = clock.now() - timedelta(hours=1), clock.now() + timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, end)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), pem


def reissue(certificate: x509.Certificate, issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the same authority as an intermediate below *issuer*."""
    builder = x509.CertificateBuilder(
        certificate.issuer.__class__(issuer.subject),
        certificate.subject,
        certificate.public_key(),
        x509.random_serial_number(),
        issuer.not_valid_before_utc,
        issuer.not_valid_after_utc,
        [certificate.extensions.get_extension_for_class(x509.BasicConstraints)],
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_leaves_have_keys_of_their_own(clock: HandClock) -> None:
    authority = create_authority(clock.now())
    leaves = [sign_leaf(authority, NAMES, clock.now()) for _ in range(3)]
    for one, other in pairwise(leaves):
        assert one.certificate.public_key() != other.certificate.public_key()
        assert one.certificate.serial_number != other.certificate.serial_number
