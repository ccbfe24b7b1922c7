import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from localcluster.controlplane import ControlPlane
from tests.kubeconfigs import connected, kubeconfig, with_user, written
from tests.proxy import Proxy
from webhook.kube.api import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubernetesApi,
    NotFoundError,
    SilenceError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)


def config_map(name: str, data: Mapping[str, str] | None = None, *, version: str | None = None) -> bytes:
    metadata = {"name": name} | ({"resourceVersion": version} if version else {})
    return json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data or {})}
    ).encode()


async def test_creates_reads_replaces_patches_and_deletes(api: KubernetesApi, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"

    created = json.loads(await api.create(path, config_map("a", {"n": "1"})))
    version = created["metadata"]["resourceVersion"]
    replaced = json.loads(await api.replace(f"{path}/a", config_map("a", {"n": "2"}, version=version)))
    patched = json.loads(
        await api.patch(f"{path}/a", b'{"data":{"m":"3"}}', content_type="application/merge-patch+json")
    )
    read = json.loads(await api.get(f"{path}/a"))
    await api.delete(f"{path}/a")

    assert created["data"] == {"n": "1"}
    assert replaced["data"] == {"n": "2"}
    assert patched["data"] == read["data"] == {"n": "2", "m": "3"}
    with pytest.raises(NotFoundError):
        await api.get(f"{path}/a")


async def test_a_json_patch_travels_as_one(api: KubernetesApi, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, config_map("a", {"n": "1"}))

    patch = b'[{"op":"test","path":"/data/n","value":"2"},{"op":"remove","path":"/data/n"}]'
    with pytest.raises(InvalidError, match="422"):
        await api.patch(f"{path}/a", patch, content_type="application/json-patch+json")


async def test_warnings_are_handed_on_as_they_were_written(control_plane: ControlPlane, namespace: str) -> None:
    told: list[str] = []
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig(), on_warning=told.append)
    body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w"}, 'a"\\b': 1, "ü": 1}).encode()
    try:
        await api.create(f"/api/v1/namespaces/{namespace}/configmaps", body, query={"fieldValidation": "Warn"})
        assert sorted(told) == ['unknown field "a\\"\\\\b"', 'unknown field "ü"']
    finally:
        await api.close()


async def test_a_query_and_another_form_reach_the_server(api: KubernetesApi, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, config_map("dry"), query={"dryRun": "All"})
    await api.create(path, config_map("a"))
    form = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

    found = json.loads(await api.get(path, query={"fieldSelector": "metadata.name!=kube-root-ca.crt"}, accept=form))

    assert found["kind"] == "PartialObjectMetadataList"
    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]


@pytest.mark.parametrize(
    ("kind", "method", "path", "body"),
    [
        pytest.param(NotFoundError, "get", "/api/v1/namespaces/none", None, id="an object that is not there"),
        pytest.param(NotFoundError, "get", "/apis/example.com/v1/things", None, id="a resource that is not there"),
        pytest.param(
            AlreadyExistsError, "create", "/api/v1/namespaces", {"metadata": {"name": "default"}}, id="a taken name"
        ),
        pytest.param(
            ConflictError,
            "replace",
            "/api/v1/namespaces/default",
            {"metadata": {"name": "default", "resourceVersion": "1"}},
            id="a version that has passed",
        ),
        pytest.param(
            InvalidError, "create", "/api/v1/namespaces", {"metadata": {"name": "UPPER"}}, id="an object that is wrong"
        ),
        pytest.param(ApiError, "create", "/api/v1/namespaces", {"kind": "Pod"}, id="a body of another kind"),
    ],
)
async def test_the_real_server_answers_with(
    kind: type[ApiError], method: str, path: str, body: object, api: KubernetesApi
) -> None:
    arguments = () if body is None else (json.dumps(body).encode(),)

    with pytest.raises(ApiError) as caught:
        await getattr(api, method)(path, *arguments)

    assert type(caught.value) is kind
    assert caught.value.message


async def test_a_missing_right_is_forbidden(control_plane: ControlPlane) -> None:
    async with connected(control_plane.kubeconfig("alice")) as alice:
        with pytest.raises(ForbiddenError, match='User "alice" cannot list resource "secrets"'):
            await alice.get("/api/v1/secrets")


async def test_the_authorization_header_really_leaves(control_plane: ControlPlane) -> None:
    """Release 36.0.0 of the library sent none (see its changelog), so that everybody was system:anonymous."""
    body = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
    async with connected(control_plane.kubeconfig("alice")) as alice:
        answer = json.loads(await alice.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", body))

    assert answer["status"]["userInfo"]["username"] == "alice"


async def test_a_wrong_token_is_refused(control_plane: ControlPlane, tmp_path: Path) -> None:
    async with connected(with_user(control_plane.kubeconfig(), tmp_path, {"token": "wrong"})) as stranger:
        with pytest.raises(UnauthorizedError, match="401 Unauthorized"):
            await stranger.get("/api")


async def test_a_client_certificate_needs_no_header(control_plane: ControlPlane, tmp_path: Path) -> None:
    pki = control_plane.access.ca_file.parent
    certificate = {"client-certificate": str(pki / "server.crt"), "client-key": str(pki / "server.key")}
    async with connected(with_user(control_plane.kubeconfig(), tmp_path, certificate)) as api:
        with pytest.raises(ForbiddenError) as caught:
            await api.get("/api/v1/secrets")

    assert 'User "system:anonymous"' not in caught.value.message


WATCH = {"allowWatchBookmarks": "true"}


async def drain(lines: AsyncIterator[bytes]) -> None:
    async for _ in lines:
        pass


async def test_a_watch_gives_one_event_per_line(api: KubernetesApi, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "abc":
        await api.create(path, config_map(name))

    query = {"labelSelector": "!x", "fieldSelector": "metadata.name!=kube-root-ca.crt"}
    seen = []
    async with api.watch_lines(path, query=query, silence=5) as lines:
        async for line in lines:
            event = json.loads(line)
            seen.append((event["type"], event["object"]["metadata"]["name"]))
            if len(seen) == 3:
                await api.delete(f"{path}/b")
            if len(seen) == 4:
                break

    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("DELETED", "b")]


async def test_a_line_may_be_longer_than_any_buffer(api: KubernetesApi, namespace: str) -> None:
    """StoredText it is below etcd's limit; the API server writes each < as six characters."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, config_map("big", {"k": "<" * 900_000}))

    async with api.watch_lines(path, query={"fieldSelector": "metadata.name=big"}, silence=5) as lines:
        line = await anext(lines)

    assert len(line) > 5_400_000
    assert json.loads(line)["object"]["data"]["k"] == "<" * 900_000


async def test_a_watch_ends_when_the_server_ends_it(api: KubernetesApi) -> None:
    started = time.monotonic()
    async with api.watch_lines("/api/v1/namespaces", query={"timeoutSeconds": "1"}, silence=30) as lines:
        kinds = {json.loads(line)["type"] async for line in lines}

    assert "ADDED" in kinds
    assert time.monotonic() - started < 20


async def test_a_watch_that_is_refused_raises_what_the_server_said(api: KubernetesApi) -> None:
    with pytest.raises(InvalidError, match="sendInitialEvents requires setting resourceVersionMatch"):
        async with api.watch_lines("/api/v1/pods", query={"sendInitialEvents": "true"}, silence=5):
            pytest.fail("the watch was opened")


async def test_a_stalled_watch_is_noticed_after_the_silence_allowed(
    control_plane: ControlPlane, proxy: Proxy, tmp_path: Path
) -> None:
    path = proxy.kubeconfig(control_plane.kubeconfig(), tmp_path)
    async with connected(path) as api, api.watch_lines("/api/v1/namespaces", query=WATCH, silence=0.5) as lines:
        await anext(lines)
        proxy.stall()
        started = time.monotonic()
        with pytest.raises(SilenceError, match=r"no answer within 0\.5 s"):
            await drain(lines)

    assert 0.3 < time.monotonic() - started < 5


async def test_a_cut_watch_is_unreachable(control_plane: ControlPlane, proxy: Proxy, tmp_path: Path) -> None:
    path = proxy.kubeconfig(control_plane.kubeconfig(), tmp_path)
    async with connected(path) as api, api.watch_lines("/api/v1/namespaces", query=WATCH, silence=30) as lines:
        await anext(lines)
        proxy.cut()
        with pytest.raises(UnreachableError) as caught:
            await drain(lines)

    assert not isinstance(caught.value, SilenceError)
    assert caught.value.__cause__ is not None


async def test_what_the_caller_raises_inside_a_watch_stays_what_it_is(api: KubernetesApi) -> None:
    async def watch_for(seconds: float) -> None:
        async with api.watch_lines("/api/v1/namespaces", query=WATCH, silence=30) as lines, asyncio.timeout(seconds):
            await drain(lines)

    with pytest.raises(TimeoutError):
        await watch_for(0.3)


async def test_a_request_is_given_up_when_its_time_is_over(
    control_plane: ControlPlane, proxy: Proxy, tmp_path: Path
) -> None:
    async with connected(proxy.kubeconfig(control_plane.kubeconfig(), tmp_path)) as api:
        await api.get("/api/v1/namespaces/default")
        proxy.stall()
        started = time.monotonic()
        with pytest.raises(UnreachableError, match=r"GET /api/v1/namespaces/default: no answer within 0\.4 s"):
            await api.get("/api/v1/namespaces/default", timeout=0.4)
        assert time.monotonic() - started < 5
        assert await api.get("/api/v1/namespaces/default")  # on a connection of its own


async def test_a_connection_that_is_cut_and_refused_is_unreachable_and_then_works_again(
    control_plane: ControlPlane, proxy: Proxy, tmp_path: Path
) -> None:
    async with connected(proxy.kubeconfig(control_plane.kubeconfig(), tmp_path)) as api:
        await api.get("/api/v1/namespaces/default")
        proxy.is_refusing = True
        proxy.cut()
        with pytest.raises(UnreachableError):
            await api.get("/api/v1/namespaces/default")
        proxy.is_refusing = False
        assert await api.get("/api/v1/namespaces/default")


async def test_latency_is_borne_once_per_request(control_plane: ControlPlane, proxy: Proxy, tmp_path: Path) -> None:
    async with connected(proxy.kubeconfig(control_plane.kubeconfig(), tmp_path)) as api:
        await api.get("/api/v1/namespaces/default")
        proxy.latency = 0.3
        started = time.monotonic()
        await api.get("/api/v1/namespaces/default")

    assert 0.6 <= time.monotonic() - started < 1.2  # a kept connection: there and back, no handshake


async def test_a_server_with_another_authority_is_unreachable(control_plane: ControlPlane, tmp_path: Path) -> None:
    async with connected(written(kubeconfig(control_plane.server_urls[0]), tmp_path)) as api:
        with pytest.raises(UnreachableError, match="certificate verify failed"):
            await api.get("/api")


async def test_a_closed_client_is_unreachable(control_plane: ControlPlane) -> None:
    async with connected(control_plane.kubeconfig()) as api:
        await api.get("/api")
    with pytest.raises(UnreachableError, match="GET /api: the client is closed"):
        await api.get("/api")


async def watch_all(api: KubernetesApi) -> None:
    async with api.watch_lines("/api", query={}, silence=5) as lines:
        await drain(lines)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a TCP server that answers every request with these bytes; yield its URL, and the requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", id="half a body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{", id="no chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", id="half a chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: zz\r\n\r\n", id="no length"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\n", id="an endless header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", id="no gzip"),
    ],
)
async def test_no_exception_of_the_library_leaks(answer: bytes, tmp_path: Path) -> None:
    async with answering(answer) as (url, _), connected(written(kubeconfig(url), tmp_path)) as api:
        with pytest.raises(UnreachableError) as called:
            await api.get("/api")
        with pytest.raises(UnreachableError) as watched:
            await watch_all(api)

    assert called.value.__cause__ is not None
    assert watched.value.__cause__ is not None


async def test_a_watch_that_ends_within_a_line_is_unreachable(tmp_path: Path) -> None:
    body = b'{"type":"ADDED"}\n{"type":'
    async with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)) as (url, _),
        connected(written(kubeconfig(url), tmp_path)) as api,
        api.watch_lines("/api", query={}, silence=5) as lines,
    ):
        assert await anext(lines) == b'{"type":"ADDED"}'
        with pytest.raises(UnreachableError, match="ended in the middle of an event"):
            await anext(lines)


async def test_what_leaves_is_what_was_meant(tmp_path: Path) -> None:
    async with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (url, requests),
        connected(written(kubeconfig(url), tmp_path)) as api,
    ):
        await api.patch("/x", b"[]", content_type="application/json-patch+json", query={"a": "b c&d"})

    first, *headers = requests[0].decode().lower().splitlines()
    assert first == "patch /x?a=b+c%26d http/1.1"
    for header in (
        "authorization: bearer t",
        "accept: application/json",
        "accept-encoding: identity",
        "content-type: application/json-patch+json",
        "content-length: 2",
    ):
        assert headers.count(header) == 1
    assert any(header.startswith("user-agent: userquota/") for header in headers)


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (other, requests):
        answer = b"HTTP/1.1 302 Found\r\nLocation: %s/y\r\nContent-Length: 0\r\n\r\n" % other.encode()
        async with answering(answer) as (url, _), connected(written(kubeconfig(url), tmp_path)) as api:
            with pytest.raises(ApiError) as caught:
                await api.get("/x")

    assert caught.value.status == 302
    assert requests == []


async def test_the_error_of_a_busy_server_holds_the_time_to_retry_after(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 4\r\nContent-Length: 0\r\n\r\n"
    async with answering(answer) as (url, _), connected(written(kubeconfig(url), tmp_path)) as api:
        with pytest.raises(TooManyRequestsError) as caught:
            await api.get("/x")

    assert caught.value.retry_after == 4
