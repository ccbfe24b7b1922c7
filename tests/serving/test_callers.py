"""Who may post reviews, where there is something to check callers against."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.serving.client_certificates import SERVER, ClientAuthority, Pem
from tests.serving.stage import ALLOWED, Stage, started
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.certificates import ServingIdentity, self_signed
from webhook.certificates.signed import SignedIdentity
from webhook.serving.callers import CallerFileError, CallerFiles, Callers
from webhook.wiring.application import SystemClock

TOKEN = "0123456789abcdef-of-the-api-server"  # noqa: S105 - a made-up one
OLD_TOKEN = "0123456789abcdef-that-is-on-its-way-out"  # noqa: S105
REFUSAL = "only the API server may post reviews: show a client certificate or a token, see manifests/README.md"


@pytest.fixture(scope="module")
def authority() -> ClientAuthority:
    return ClientAuthority()


@pytest.fixture
def identity() -> ServingIdentity:
    """One a test: what it trusts stays with it."""
    return self_signed(("localhost", "127.0.0.1"), SystemClock())


@pytest.fixture
def files(authority: ClientAuthority, tmp_path: Path) -> CallerFiles:
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    (tmp_path / "tokens").write_text(f"{TOKEN}\n{OLD_TOKEN}\n")
    return CallerFiles(client_ca=tmp_path / "ca.crt", tokens=tmp_path / "tokens")


@pytest.fixture
async def guarded(identity: ServingIdentity, files: CallerFiles) -> AsyncIterator[Stage]:
    """A server that asks for either proof."""
    async with started(Stage(identity, files)) as stage:
        yield stage


@asynccontextmanager
async def client(stage: Stage, pem: Pem | None, folder: Path) -> AsyncIterator[Callable[[], object]]:
    tls = ssl.create_default_context(cadata=stage.identity.ca_bundle.decode())
    if pem is not None:
        pem.into(tls, folder)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        before, stage.client = stage.client, session
        stage.client._base_url = before._base_url
        try:
            yield stage.post
        finally:
            stage.client = before


async def refused(stage: Stage) -> bool:
    """Whether a review gets 401 and nobody is asked to answer it."""
    asked: list[AdmissionRequest] = []

    async def note(request: AdmissionRequest, _: float) -> AdmissionResponse:
        asked.append(request)
        return review.allowed(request.uid)

    answer, stage.answer = stage.answer, note
    reply = await stage.post()
    stage.answer = answer
    return reply.status == 401 and reply.reason == REFUSAL and not asked


async def test_without_a_file_every_caller_is_believed(stage: Stage) -> None:
    assert (await stage.post()).body == ALLOWED


async def test_a_caller_without_a_proof_gets_no_answer_and_is_counted(guarded: Stage) -> None:
    """A pod of a user that posts a review as alice would hold her quota."""
    assert await refused(guarded)
    assert (await guarded.post(b"nonsense", "/mutate")).status == 401
    assert await guarded.errors("unauthenticated") == 2


async def test_health_and_metrics_need_no_proof(guarded: Stage) -> None:
    assert [(await guarded.get(path)).status for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 200]


async def test_a_certificate_of_the_authority_is_a_proof(
    guarded: Stage, authority: ClientAuthority, tmp_path: Path
) -> None:
    async with client(guarded, authority.sign("kube-apiserver"), tmp_path):
        assert (await guarded.post()).body == ALLOWED


STRANGERS = {
    "of another authority": lambda _: ClientAuthority().sign("kube-apiserver"),
    "for servers": lambda authority: authority.sign("kube-apiserver", purpose=SERVER),
    "that has expired": lambda authority: authority.sign("kube-apiserver", days=-1),
}


@pytest.mark.parametrize("sign", STRANGERS.values(), ids=STRANGERS.keys())
async def test_a_certificate_that_does_not_verify_gets_no_connection(
    guarded: Stage, authority: ClientAuthority, tmp_path: Path, sign: Callable[[ClientAuthority], Pem]
) -> None:
    async with client(guarded, sign(authority), tmp_path):
        with pytest.raises(aiohttp.ClientConnectionError):
            await guarded.post()

    assert await refused(guarded)


NAMES = {
    "its common name": ("kube-apiserver", "", True),
    "another name of it": ("whatever", "kube-apiserver.example", True),
    "a name that begins alike": ("kube-apiserver-2", "", False),
    "no such name": ("kubelet", "kubelet.example", False),
}


@pytest.fixture
async def named(identity: ServingIdentity, files: CallerFiles) -> AsyncIterator[Stage]:
    names = frozenset({"kube-apiserver", "kube-apiserver.example"})
    async with started(Stage(identity, CallerFiles(client_ca=files.client_ca, names=names))) as stage:
        yield stage


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
async def test_where_names_are_given_a_certificate_has_to_carry_one(
    named: Stage, authority: ClientAuthority, tmp_path: Path, names: tuple[str, str, bool]
) -> None:
    common, other, is_proof = names
    async with client(named, authority.sign(common, others=(other,) if other else ()), tmp_path):
        assert await refused(named) is not is_proof


@pytest.mark.parametrize("token", [TOKEN, OLD_TOKEN])
async def test_each_token_of_the_file_is_a_proof(guarded: Stage, token: str) -> None:
    assert (await guarded.post(Authorization=f"Bearer {token}")).body == ALLOWED


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}0", "Bearer \udcff"],
)
async def test_anything_else_is_no_token(guarded: Stage, header: str) -> None:
    assert (await guarded.post(Authorization=header.encode("utf-8", "surrogateescape").decode("latin-1"))).status == 401


# Files that change.


async def until_reloaded(stage: Stage) -> None:
    assert await stage.callers.refresh()


async def test_a_new_authority_is_used_from_the_next_handshake_on(
    guarded: Stage, files: CallerFiles, authority: ClientAuthority, tmp_path: Path
) -> None:
    other = ClientAuthority()
    assert files.client_ca is not None
    files.client_ca.write_bytes(b"# J\xc3\xa4nner\n" + other.pem)
    await until_reloaded(guarded)

    async with client(guarded, authority.sign("kube-apiserver"), tmp_path):
        with pytest.raises(aiohttp.ClientConnectionError):
            await guarded.post()
    async with client(guarded, other.sign("kube-apiserver"), tmp_path):
        assert (await guarded.post()).body == ALLOWED


async def test_a_connection_from_before_is_closed_and_its_call_repeated_on_a_new_one(
    guarded: Stage, files: CallerFiles, authority: ClientAuthority, tmp_path: Path
) -> None:
    assert files.client_ca is not None
    async with client(guarded, authority.sign("kube-apiserver"), tmp_path):
        assert (await guarded.post()).body == ALLOWED
        files.client_ca.write_bytes(authority.pem + ClientAuthority().pem)
        await until_reloaded(guarded)
        first, second = await guarded.post(), await guarded.post()

    assert (first.status, first.reason) == (503, "the trusted certificates have changed, connect again")
    assert (first.headers["retry-after"], first.headers["connection"]) == ("1", "close")
    assert second.body == ALLOWED


async def test_a_new_serving_certificate_costs_no_connection_its_proof(
    guarded: Stage, identity: ServingIdentity, authority: ClientAuthority, tmp_path: Path
) -> None:
    assert isinstance(identity, SignedIdentity)
    async with client(guarded, authority.sign("kube-apiserver"), tmp_path):
        before = await guarded.post()
        identity._live.swap(identity._sign(identity._issuer))
        kept = await guarded.post()
    async with client(guarded, authority.sign("kube-apiserver"), tmp_path):
        new = await guarded.post()

    assert [each.body for each in (before, kept, new)] == [ALLOWED] * 3


async def test_a_token_that_was_taken_out_is_no_proof_any_more(guarded: Stage, files: CallerFiles) -> None:
    assert files.tokens is not None
    files.tokens.write_text(TOKEN)
    await until_reloaded(guarded)

    assert (await guarded.post(Authorization=f"Bearer {OLD_TOKEN}")).status == 401
    assert (await guarded.post(Authorization=f"Bearer {TOKEN}")).status == 200


async def test_files_are_read_again_by_themselves(guarded: Stage, files: CallerFiles) -> None:
    assert files.tokens is not None
    fresh = asyncio.create_task(guarded.server.keep_fresh())
    files.tokens.write_text("another-token-of-the-admin")
    begun = time.monotonic()
    while (await guarded.post(Authorization="Bearer another-token-of-the-admin")).status != 200:
        assert time.monotonic() - begun < 10
        await asyncio.sleep(0.02)
    fresh.cancel()


async def test_without_files_there_is_nothing_to_reload(stage: Stage) -> None:
    await asyncio.wait_for(stage.server.keep_fresh(), 1)


BAD = {
    "no certificate": ("client_ca", b"hello", "--client-ca {}: holds no readable PEM certificate ("),
    "an empty file": ("client_ca", b"\n", "--client-ca {}: is empty: put the certificates to trust in it"),
    "no token": ("tokens", b"\n", "--client-token-file {}: needs one token a line, each of 16 characters at least"),
    "a short token": ("tokens", b"secret", "--client-token-file {}: needs one token a line, each of 16 characters"),
    "no file": ("tokens", None, "--client-token-file {}: cannot be read (No such file or directory): "),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_file_that_cannot_be_used_is_an_error_at_the_start_and_changes_nothing_later(
    guarded: Stage, authority: ClientAuthority, tmp_path: Path, bad: tuple[str, bytes | None, str]
) -> None:
    which, content, error = bad
    path = spoil(guarded.files, which, content)

    for attempt in (
        guarded.callers.refresh,
        lambda: asyncio.to_thread(Callers, guarded.files, guarded.identity.clients),
    ):
        with pytest.raises(CallerFileError) as caught:
            await attempt()
        assert str(caught.value).startswith(error.format(path))

    assert (await guarded.post(Authorization=f"Bearer {TOKEN}")).body == ALLOWED
    async with client(guarded, authority.sign("kube-apiserver"), tmp_path):
        assert (await guarded.post()).body == ALLOWED


def spoil(files: CallerFiles, which: str, content: bytes | None) -> Path:
    path: Path = getattr(files, which)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    return path


# Sessions.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_a_session_from_before_a_change_of_the_authority_is_no_proof(
    guarded: Stage, files: CallerFiles, authority: ClientAuthority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A session that is resumed shows the certificate of its first handshake, which nobody verifies again."""
    tls = ssl.create_default_context(cadata=guarded.identity.ca_bundle.decode())
    tls.minimum_version = tls.maximum_version = version
    authority.sign("kube-apiserver").into(tls, tmp_path)

    def attempt(session: ssl.SSLSession | None) -> tuple[bytes, ssl.SSLSession | None]:
        try:
            with (
                socket.create_connection(("127.0.0.1", guarded.port)) as plain,
                tls.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as connection,
            ):
                connection.sendall(guarded.request())
                return connection.recv(12), connection.session
        except (ssl.SSLError, ConnectionError):
            return b"", None

    first, session = await asyncio.to_thread(attempt, None)
    assert files.client_ca is not None
    files.client_ca.write_bytes(ClientAuthority().pem)
    await until_reloaded(guarded)

    assert first == b"HTTP/1.1 200"
    assert (await asyncio.to_thread(attempt, session))[0] in (b"", b"HTTP/1.1 503")
