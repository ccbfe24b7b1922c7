import asyncio
import json
import stat
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.proxy import Proxy
from webhook.adapters.kubernetes_api import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeconfigError,
    KubernetesApi,
    NotFoundError,
    ServerError,
    SilenceError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
    api_error,
)
from webhook.adapters.kubernetes_api.connection import Connection, Credentials, from_kubeconfig
from webhook.localcluster.controlplane import ControlPlane
from webhook.ports import WebhookError

# ---------------------------------------------------------------------------------------------------------------------
# Errors


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        pytest.param(UnauthorizedError, 401, "Unauthorized", id="401 is unauthorized"),
        pytest.param(ForbiddenError, 403, "Forbidden", id="403 is forbidden"),
        pytest.param(NotFoundError, 404, "NotFound", id="404 is not found"),
        pytest.param(ConflictError, 409, "Conflict", id="409 for another version is a conflict"),
        pytest.param(AlreadyExistsError, 409, "AlreadyExists", id="409 for a name that is taken is not"),
        pytest.param(GoneError, 410, "Expired", id="410 for an old version is gone"),
        pytest.param(GoneError, 410, "Gone", id="410 without more is gone"),
        pytest.param(InvalidError, 422, "Invalid", id="422 is invalid"),
        pytest.param(TooManyRequestsError, 429, "TooManyRequests", id="429 is too many requests"),
        pytest.param(ServerError, 500, "InternalError", id="500 is the server's"),
        pytest.param(ServerError, 504, "Timeout", id="504 is the server's"),
        pytest.param(ApiError, 400, "BadRequest", id="400 has no class of its own"),
        pytest.param(ApiError, 302, "", id="302 is no answer either"),
    ],
)
def test_each_answer_has_its_error(kind: type[ApiError], status: int, reason: str) -> None:
    body = json.dumps({"kind": "Status", "code": status, "reason": reason, "message": "so it is"})

    error = api_error(body.encode(), request="GET /x", status=status)

    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (status, reason, "so it is")
    assert str(error) == f"GET /x: {f'{status} {reason}'.strip()}: so it is"


def test_the_code_of_an_error_event_is_in_its_body() -> None:
    error = api_error(b'{"kind":"Status","code":410,"reason":"Expired","message":"too old"}', request="GET /x")

    assert isinstance(error, GoneError)
    assert error.status == 410


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>502 Bad Gateway</html>", id="a page"),
        pytest.param(b'{"message":"my secret","kind":"Pod"}', id="another object"),
        pytest.param(b'{"kind":"Status","message":7}', id="a message that is no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="bytes"),
    ],
)
def test_only_a_status_lends_its_message(body: bytes) -> None:
    error = api_error(body, request="GET /x", status=502)

    assert isinstance(error, ServerError)
    assert error.message == "the answer is no Kubernetes Status"


def test_a_long_message_is_cut() -> None:
    body = json.dumps({"kind": "Status", "message": "x" * 1000})

    assert api_error(body.encode(), request="GET /x", status=500).message == "x" * 256


@pytest.mark.parametrize(
    ("header", "details", "expected"),
    [
        pytest.param("7", {}, 7, id="from the header"),
        pytest.param("", {"retryAfterSeconds": 3}, 3, id="from the details"),
        pytest.param("7", {"retryAfterSeconds": 3}, 7, id="the header wins"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 GMT", {}, None, id="a date is not understood"),
        pytest.param("", {}, None, id="none named"),
    ],
)
def test_tells_when_to_come_again(header: str, details: Mapping[str, int], expected: int | None) -> None:
    body = json.dumps({"kind": "Status", "details": details}).encode()

    assert api_error(body, request="GET /x", status=429, retry_after=header).retry_after == expected


def test_every_error_is_ours() -> None:
    assert issubclass(ApiError, WebhookError)
    assert issubclass(KubeconfigError, WebhookError)


# ---------------------------------------------------------------------------------------------------------------------
# Kubeconfigs


def kubeconfig(server: str = "https://127.0.0.1:1", *, user: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": dict(user or {"token": "t"})}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in kubeconfig().items() if name != key}


BAD_AUTHORITY = kubeconfig()
BAD_AUTHORITY["clusters"][0]["cluster"]["certificate-authority-data"] = "bm90IGEgY2VydGlmaWNhdGU="


@pytest.mark.parametrize(
    ("message", "content"),
    [
        pytest.param(
            "the kubeconfig FILE is not YAML: line 2: mapping values are not allowed here",
            "clusters: []\nusers: a: b\n",
            id="that is no YAML",
        ),
        pytest.param(
            "the kubeconfig FILE is not YAML: it holds bytes that are no text", b"\xff\x00", id="that is no text"
        ),
        pytest.param(
            "the kubeconfig FILE holds no kubeconfig: name another with --kubeconfig", "[]", id="that is a list"
        ),
        pytest.param("the kubeconfig FILE holds no kubeconfig: name another with --kubeconfig", "", id="that is empty"),
        pytest.param(
            "the kubeconfig FILE sets no current-context: run 'kubectl config use-context NAME'",
            without("current-context"),
            id="without a current context",
        ),
        pytest.param(
            "the kubeconfig FILE cannot be used, context 'here': Invalid kube-config file. "
            "Expected key contexts in kube-config",
            without("contexts"),
            id="without contexts",
        ),
        pytest.param(
            "the kubeconfig FILE cannot be used, context 'there': Invalid kube-config file. "
            "Expected object with name there in kube-config/contexts list",
            kubeconfig() | {"current-context": "there"},
            id="whose context does not exist",
        ),
        pytest.param(
            "the kubeconfig FILE names no server for context 'here': set clusters[].cluster.server",
            kubeconfig() | {"clusters": [{"name": "c", "cluster": {"insecure-skip-tls-verify": True}}]},
            id="without a server",
        ),
        pytest.param(
            "the certificates of the kubeconfig FILE cannot be used: ",
            BAD_AUTHORITY,
            id="whose authority is no certificate",
        ),
        pytest.param(
            "the kubeconfig FILE: the credential plugin 'no-such-plugin' gave no credentials",
            kubeconfig(user={"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}}),
            id="whose plugin is missing",
        ),
        pytest.param(
            "the kubeconfig FILE cannot be used, context 'here': [Errno 2] No such file or directory: ",
            kubeconfig(user={"tokenFile": "missing"}),
            id="whose token file is missing",
        ),
    ],
)
async def test_says_in_one_line_what_is_wrong_with_a_kubeconfig(
    message: str, content: str | bytes | dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "config"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))

    with pytest.raises(KubeconfigError) as caught:
        await KubernetesApi.connect(kubeconfig=path)

    assert str(caught.value).startswith(message.replace("FILE", str(path)))
    assert "\n" not in str(caught.value)


async def test_says_that_there_is_no_kubeconfig(tmp_path: Path) -> None:
    path = tmp_path / "none"

    with pytest.raises(KubeconfigError) as caught:
        await KubernetesApi.connect(kubeconfig=path)

    assert str(caught.value) == f"there is no kubeconfig {path}: name another with --kubeconfig"


async def test_says_that_a_kubeconfig_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError) as caught:
        await KubernetesApi.connect(kubeconfig=tmp_path)

    assert str(caught.value) == f"the kubeconfig {tmp_path} cannot be read: Is a directory"


async def test_says_that_we_are_not_in_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError) as caught:
        await KubernetesApi.connect(kubeconfig=None, environ={}, service_account=tmp_path)

    assert str(caught.value) == ("not in a cluster (Service host/port is not set): name a kubeconfig with --kubeconfig")


async def test_another_context_can_be_named(tmp_path: Path) -> None:
    document = kubeconfig()
    document["users"].append({"name": "v", "user": {"token": "other"}})
    document["contexts"].append({"name": "there", "context": {"cluster": "c", "user": "v"}})
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(document))

    connection = await from_kubeconfig(path, "there")

    assert connection.authorization == "Bearer other"


async def test_a_kubeconfig_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(kubeconfig()))
    path.chmod(stat.S_IRUSR)
    before = path.stat().st_mtime_ns

    await from_kubeconfig(path, None)

    assert path.stat().st_mtime_ns == before


# ---------------------------------------------------------------------------------------------------------------------
# Credentials


class Tokens:
    """A source of connections whose tokens count up; it can be out of order."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.loads = 0
        self.is_broken = False

    async def load(self) -> Connection:
        self.loads += 1
        await asyncio.sleep(0.01)
        if self.is_broken:
            raise KubeconfigError("no token today")
        return self._with(f"Bearer {self.loads}")

    def credentials(self, *, seconds: float) -> Credentials:
        return Credentials(self._with("Bearer 0", seconds), self.load)

    def _with(self, authorization: str, seconds: float = 60) -> Connection:
        tls = self.connection.tls
        return Connection(
            "https://h", tls, server_hostname=None, proxy=None, authorization=authorization, seconds=seconds
        )


@pytest.fixture
async def tokens(tmp_path: Path) -> Tokens:
    path = tmp_path / "tokens"
    path.write_text(yaml.safe_dump(kubeconfig()))
    return Tokens(await from_kubeconfig(path, None))


async def test_a_token_is_kept_while_it_is_good(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=60)

    assert await credentials.header() == "Bearer 0"
    assert tokens.loads == 0


async def test_a_token_that_is_due_is_loaded_once_for_all_who_wait(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=0)

    assert await asyncio.gather(*(credentials.header() for _ in range(10))) == ["Bearer 1"] * 10
    assert tokens.loads == 1


async def test_a_refused_token_is_renewed_once_for_all_who_were_refused(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=60)
    await asyncio.sleep(1)

    assert await asyncio.gather(*(credentials.renewed("Bearer 0") for _ in range(10))) == [True] * 10
    assert tokens.loads == 1
    assert await credentials.header() == "Bearer 1"


async def test_a_server_that_refuses_every_token_does_not_keep_us_renewing(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=60)
    await asyncio.sleep(1)

    assert await credentials.renewed("Bearer 0") is True
    assert await credentials.renewed("Bearer 1") is False
    assert tokens.loads == 1


async def test_a_token_that_cannot_be_renewed_stays_in_use(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=0)
    tokens.is_broken = True

    assert await credentials.header() == "Bearer 0"
    assert await credentials.header() == "Bearer 0"
    assert tokens.loads == 1  # and is not tried again at each request


# ---------------------------------------------------------------------------------------------------------------------
# Against a real API server


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[KubernetesApi]:
    api = await KubernetesApi.connect(kubeconfig=path)
    try:
        yield api
    finally:
        await api.close()


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    async with connected(control_plane.kubeconfig()) as client:
        yield client


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[Proxy]:
    async with Proxy(control_plane.server_urls[0]) as between:
        yield between


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


async def test_a_query_and_another_form_reach_the_server(api: KubernetesApi, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, config_map("dry"), query={"dryRun": "All"})
    await api.create(path, config_map("a"))
    form = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

    found = json.loads(await api.get(path, query={"fieldSelector": "metadata.name in (a)"[:14] + "=a"}, accept=form))

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
    assert caught.value.reason
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
    path = edited(control_plane.kubeconfig(), tmp_path, user={"token": "wrong"})
    async with connected(path) as stranger:
        with pytest.raises(UnauthorizedError, match="401 Unauthorized"):
            await stranger.get("/api")


def edited(original: Path, folder: Path, *, user: Mapping[str, Any]) -> Path:
    document = yaml.safe_load(original.read_text())
    document["users"][0]["user"] = dict(user)
    path = folder / "edited.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


class Pod:
    """What a pod knows of its cluster: two variables and a folder."""

    def __init__(self, control_plane: ControlPlane, folder: Path) -> None:
        host, port = control_plane.server_urls[0].removeprefix("https://").split(":")
        self.environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        self.folder = folder
        (folder / "ca.crt").write_bytes(control_plane.access.ca_file.read_bytes())

    def mount(self, token: str) -> None:
        (self.folder / "token").write_text(f"{token}\n")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[KubernetesApi]:
        api = await KubernetesApi.connect(kubeconfig=None, environ=self.environ, service_account=self.folder)
        try:
            yield api
        finally:
            await api.close()


async def test_in_a_cluster_the_mounted_token_is_used(control_plane: ControlPlane, tmp_path: Path) -> None:
    pod = Pod(control_plane, tmp_path)
    pod.mount(control_plane.access.token("admin"))

    async with pod.connected() as api:
        assert json.loads(await api.get("/api/v1/namespaces/default"))["kind"] == "Namespace"


async def test_in_a_cluster_a_replaced_token_is_read_again_when_the_old_one_is_refused(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    pod = Pod(control_plane, tmp_path)
    pod.mount("worn-out")
    async with pod.connected() as api:
        await asyncio.sleep(1)
        pod.mount(control_plane.access.token("admin"))

        assert json.loads(await api.get("/api/v1/namespaces/default"))["kind"] == "Namespace"


PLUGIN = f"""#!{sys.executable}
import json, pathlib, time
here = pathlib.Path(__file__).parent
with (here / "runs").open("a") as runs:
    runs.write("x")
expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
status = {{"token": (here / "plugin-token").read_text(), "expirationTimestamp": expiry}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "plugin"
    path.write_text(PLUGIN)
    path.chmod(stat.S_IRWXU)
    return path


async def test_a_credential_plugin_is_run_once_and_again_when_its_token_is_refused(
    control_plane: ControlPlane, plugin: Path, tmp_path: Path
) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    path = edited(control_plane.kubeconfig(), tmp_path, user=user)
    runs, token = tmp_path / "runs", tmp_path / "plugin-token"
    token.write_text("worn-out")
    async with connected(path) as api:
        await asyncio.sleep(1)
        token.write_text(control_plane.access.token("admin"))
        await asyncio.gather(*(api.get("/api/v1/namespaces/default") for _ in range(5)))
        assert runs.read_text() == "xx"
        await api.get("/api/v1/namespaces/default")
        assert runs.read_text() == "xx"


async def test_the_token_of_a_plugin_is_renewed_before_its_end(plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "plugin-token").write_text("t")
    path = tmp_path / "config"
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    path.write_text(yaml.safe_dump(kubeconfig(user=user)))

    connection = await from_kubeconfig(path, None)

    assert 0.79 * 3600 < connection.seconds < 0.81 * 3600


async def test_a_client_certificate_needs_no_header(control_plane: ControlPlane, tmp_path: Path) -> None:
    pki = control_plane.access.ca_file.parent
    certificate = {"client-certificate": str(pki / "server.crt"), "client-key": str(pki / "server.key")}
    async with connected(edited(control_plane.kubeconfig(), tmp_path, user=certificate)) as api:
        with pytest.raises(ForbiddenError) as caught:
            await api.get("/api/v1/secrets")

    assert 'User "system:anonymous"' not in caught.value.message


# ---------------------------------------------------------------------------------------------------------------------
# Watches of a real API server, through a proxy that we break


WATCH = {"allowWatchBookmarks": "true"}


async def test_a_watch_gives_one_event_per_line(api: KubernetesApi, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "abc":
        await api.create(path, config_map(name))

    query = {**WATCH, "labelSelector": "!x", "fieldSelector": "metadata.name!=kube-root-ca.crt"}
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
    """Stored it is below etcd's limit; the API server writes each < as six characters."""
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

    assert kinds == {"ADDED"}
    assert time.monotonic() - started < 10


async def test_a_watch_that_is_refused_raises_what_the_server_said(api: KubernetesApi) -> None:
    with pytest.raises(InvalidError, match="sendInitialEvents requires setting resourceVersionMatch"):
        async with api.watch_lines("/api/v1/pods", query={"sendInitialEvents": "true"}, silence=5):
            pytest.fail("the watch was opened")


async def test_a_stalled_watch_is_noticed_after_the_silence_allowed(
    control_plane: ControlPlane, proxy: Proxy, tmp_path: Path
) -> None:
    async with connected(proxy.kubeconfig(control_plane.kubeconfig(), tmp_path)) as api:
        async with api.watch_lines("/api/v1/namespaces", query=WATCH, silence=0.5) as lines:
            await anext(lines)
            proxy.stall()
            started = time.monotonic()
            with pytest.raises(SilenceError, match=r"no answer within 0\.5 s"):
                async for _ in lines:
                    pass

    assert 0.3 < time.monotonic() - started < 2


async def test_a_cut_watch_is_unreachable(control_plane: ControlPlane, proxy: Proxy, tmp_path: Path) -> None:
    async with connected(proxy.kubeconfig(control_plane.kubeconfig(), tmp_path)) as api:
        async with api.watch_lines("/api/v1/namespaces", query=WATCH, silence=30) as lines:
            await anext(lines)
            proxy.cut()
            with pytest.raises(UnreachableError) as caught:
                async for _ in lines:
                    pass

    assert not isinstance(caught.value, SilenceError)
    assert caught.value.__cause__ is not None


async def test_what_the_caller_raises_inside_a_watch_stays_what_it_is(api: KubernetesApi) -> None:
    with pytest.raises(TimeoutError):
        async with api.watch_lines("/api/v1/namespaces", query=WATCH, silence=30) as lines, asyncio.timeout(0.3):
            async for _ in lines:
                pass


# ---------------------------------------------------------------------------------------------------------------------
# Faults of the network


async def test_a_request_is_given_up_when_its_time_is_over(
    control_plane: ControlPlane, proxy: Proxy, tmp_path: Path
) -> None:
    async with connected(proxy.kubeconfig(control_plane.kubeconfig(), tmp_path)) as api:
        await api.get("/api/v1/namespaces/default")
        proxy.stall()
        started = time.monotonic()
        with pytest.raises(UnreachableError, match=r"GET /api/v1/namespaces/default: no answer within 0\.4 s"):
            await api.get("/api/v1/namespaces/default", timeout=0.4)
        assert time.monotonic() - started < 2
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
        proxy.latency = 0.1
        started = time.monotonic()
        await api.get("/api/v1/namespaces/default")

    assert 0.2 <= time.monotonic() - started < 0.4  # a kept connection: there and back, no handshake


async def test_a_server_with_another_authority_is_unreachable(control_plane: ControlPlane, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(kubeconfig(control_plane.server_urls[0])))
    async with connected(path) as api:
        with pytest.raises(UnreachableError, match="certificate verify failed"):
            await api.get("/api")


async def test_a_closed_client_says_so(control_plane: ControlPlane) -> None:
    async with connected(control_plane.kubeconfig()) as api:
        await api.get("/api")
    with pytest.raises(UnreachableError, match="GET /api: the client is closed"):
        await api.get("/api")


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Give the URL of a TCP server that answers every request with these bytes, and what it was sent."""
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
    async with answering(answer) as (url, _):
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(kubeconfig(url)))
        async with connected(path) as api:
            with pytest.raises(UnreachableError) as called:
                await api.get("/api")
            with pytest.raises(UnreachableError) as watched:
                async with api.watch_lines("/api", query={}, silence=5) as lines:
                    async for _ in lines:
                        pass

    assert isinstance(called.value.__cause__, aiohttp.ClientError | OSError | Exception)
    assert watched.value.__cause__ is not None


async def test_a_watch_that_ends_within_a_line_is_unreachable(tmp_path: Path) -> None:
    body = b'{"type":"ADDED"}\n{"type":'
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)) as (url, _):
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(kubeconfig(url)))
        async with connected(path) as api, api.watch_lines("/api", query={}, silence=5) as lines:
            assert await anext(lines) == b'{"type":"ADDED"}'
            with pytest.raises(UnreachableError, match="ended in the middle of an event"):
                await anext(lines)


async def test_what_leaves_is_what_was_meant(tmp_path: Path) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (url, requests):
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(kubeconfig(url)))
        async with connected(path) as api:
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
        async with answering(answer) as (url, _):
            path = tmp_path / "config"
            path.write_text(yaml.safe_dump(kubeconfig(url)))
            async with connected(path) as api:
                with pytest.raises(ApiError) as caught:
                    await api.get("/x")

    assert caught.value.status == 302
    assert requests == []


async def test_a_busy_server_says_when_to_come_again(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 4\r\nContent-Length: 0\r\n\r\n"
    async with answering(answer) as (url, _):
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(kubeconfig(url)))
        async with connected(path) as api:
            with pytest.raises(TooManyRequestsError) as caught:
                await api.get("/x")

    assert caught.value.retry_after == 4
