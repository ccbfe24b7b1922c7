import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.controlplane import ControlPlane
from tests.kubeconfigs import kubeconfig, with_user, written
from webhook.kube.api import KubeconfigError, KubernetesApi, NoConnectionError
from webhook.kube.api.connection import Connection, Credentials, from_kubeconfig


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
async def test_an_error_states_in_one_line_what_is_wrong_with_a_kubeconfig(
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


async def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none"

    with pytest.raises(KubeconfigError) as caught:
        await KubernetesApi.connect(kubeconfig=path)

    assert str(caught.value) == f"there is no kubeconfig {path}: name another with --kubeconfig"


async def test_a_kubeconfig_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError) as caught:
        await KubernetesApi.connect(kubeconfig=tmp_path)

    assert str(caught.value) == f"the kubeconfig {tmp_path} cannot be read: Is a directory"


async def test_outside_of_a_cluster_the_error_asks_for_a_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError) as caught:
        await KubernetesApi.connect(kubeconfig=None, environ={}, service_account=tmp_path)

    assert str(caught.value) == ("not in a cluster (Service host/port is not set): name a kubeconfig with --kubeconfig")


async def test_another_context_can_be_named(tmp_path: Path) -> None:
    document = kubeconfig()
    document["users"].append({"name": "v", "user": {"token": "other"}})
    document["contexts"].append({"name": "there", "context": {"cluster": "c", "user": "v"}})

    connection = await from_kubeconfig(written(document, tmp_path), "there")

    assert connection.authorization == "Bearer other"


@pytest.mark.parametrize(("written_there", "namespace"), [({}, "default"), ({"namespace": "red"}, "red")])
async def test_the_namespace_is_that_of_the_context(
    written_there: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    document = kubeconfig()
    document["contexts"][0]["context"] |= written_there

    async with closing(await KubernetesApi.connect(kubeconfig=written(document, tmp_path))) as api:
        assert api.namespace == namespace


async def test_a_kubeconfig_is_never_written_to(tmp_path: Path) -> None:
    path = written(kubeconfig(), tmp_path)
    path.chmod(stat.S_IRUSR)
    before = path.stat().st_mtime_ns

    await from_kubeconfig(path, None)

    assert path.stat().st_mtime_ns == before


class Tokens:
    """A source of connections whose tokens count up; it can be broken."""

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
        return replace(self.connection, authorization=authorization, seconds=seconds)


@pytest.fixture
async def tokens(tmp_path: Path) -> Tokens:
    return Tokens(await from_kubeconfig(written(kubeconfig(), tmp_path), None))


async def test_a_token_is_kept_while_it_is_good(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=60)

    assert (await credentials.current()).authorization == "Bearer 0"
    assert tokens.loads == 0


async def test_a_token_that_is_due_is_loaded_once_for_all_callers_that_wait(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=0)

    connections = await asyncio.gather(*(credentials.current() for _ in range(10)))
    assert [each.authorization for each in connections] == ["Bearer 1"] * 10
    assert tokens.loads == 1


async def test_a_refused_token_is_renewed_once_for_all_refused_callers(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=60)
    refused = await credentials.current()
    await asyncio.sleep(1)

    assert await asyncio.gather(*(credentials.renewed(refused) for _ in range(10))) == [True] * 10
    assert tokens.loads == 1
    assert (await credentials.current()).authorization == "Bearer 1"


async def test_a_server_that_refuses_every_token_does_not_cause_a_renewal_for_each_request(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=60)
    refused = await credentials.current()
    await asyncio.sleep(1)

    assert await credentials.renewed(refused) is True
    assert await credentials.renewed(await credentials.current()) is False
    assert tokens.loads == 1


async def test_a_token_that_cannot_be_renewed_stays_in_use(tokens: Tokens) -> None:
    credentials = tokens.credentials(seconds=0)
    tokens.is_broken = True

    for _ in range(2):
        assert (await credentials.current()).authorization == "Bearer 0"
    assert tokens.loads == 1  # and is not tried again at each request


@asynccontextmanager
async def closing(api: KubernetesApi) -> AsyncIterator[KubernetesApi]:
    try:
        yield api
    finally:
        await api.close()


class Pod:
    """What a pod knows of its cluster: two variables and a folder."""

    def __init__(self, control_plane: ControlPlane, folder: Path) -> None:
        host, port = control_plane.server_urls[0].removeprefix("https://").split(":")
        self.environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        self.folder = folder
        (folder / "ca.crt").write_bytes(control_plane.access.ca_file.read_bytes())

    def mount(self, token: str) -> None:
        (self.folder / "token").write_text(f"{token}\n")

    async def connect(self) -> KubernetesApi:
        return await KubernetesApi.connect(kubeconfig=None, environ=self.environ, service_account=self.folder)


async def test_in_a_cluster_the_mounted_token_is_used(control_plane: ControlPlane, tmp_path: Path) -> None:
    pod = Pod(control_plane, tmp_path)
    pod.mount(control_plane.access.token("admin"))

    async with closing(await pod.connect()) as api:
        assert json.loads(await api.get("/api/v1/namespaces/default"))["kind"] == "Namespace"
        assert api.namespace == "default"

    (pod.folder / "namespace").write_text("red\n")
    async with closing(await pod.connect()) as api:
        assert api.namespace == "red"


async def test_in_a_cluster_a_replaced_token_is_read_again_when_the_old_one_is_refused(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    pod = Pod(control_plane, tmp_path)
    pod.mount("worn-out")
    async with closing(await pod.connect()) as api:
        await asyncio.sleep(1)
        pod.mount(control_plane.access.token("admin"))

        assert json.loads(await api.get("/api/v1/namespaces/default"))["kind"] == "Namespace"


async def test_in_a_cluster_of_ipv6_the_api_server_has_an_address_of_it(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    pod = Pod(control_plane, tmp_path)
    pod.mount("any")
    pod.environ = {"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": "1"}
    async with closing(await pod.connect()) as api:
        with pytest.raises(NoConnectionError, match=r"cannot connect to ::1:1: "):
            await api.get("/version")


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
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "plugin"
    path.write_text(PLUGIN)
    path.chmod(stat.S_IRWXU)
    return path


async def test_a_credential_plugin_is_run_once_and_again_when_its_token_is_refused(
    control_plane: ControlPlane, plugin: Path, tmp_path: Path
) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    path = with_user(control_plane.kubeconfig(), tmp_path, user)
    runs, token = tmp_path / "runs", tmp_path / "plugin-token"
    token.write_text("worn-out")
    async with closing(await KubernetesApi.connect(kubeconfig=path)) as api:
        await asyncio.sleep(1)
        token.write_text(control_plane.access.token("admin"))
        await asyncio.gather(*(api.get("/api/v1/namespaces/default") for _ in range(5)))
        assert runs.read_text() == "xx"
        await api.get("/api/v1/namespaces/default")
        assert runs.read_text() == "xx"


async def test_the_token_of_a_plugin_is_renewed_before_its_end(plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "plugin-token").write_text("t")
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}

    connection = await from_kubeconfig(written(kubeconfig(user=user), tmp_path), None)

    assert 0.79 * 3600 < connection.seconds < 0.81 * 3600


async def test_of_several_kubeconfigs_the_first_counts_and_paths_are_those_of_their_files(
    tmp_path: Path, control_plane: ControlPlane
) -> None:
    whole = yaml.safe_load(control_plane.kubeconfig("admin").read_text())
    cluster, user = whole["clusters"][0]["cluster"], whole["users"][0]["user"]
    (tmp_path / "one").mkdir()
    (tmp_path / "one/ca.crt").write_bytes(control_plane.access.ca_file.read_bytes())
    by_path = {"server": cluster["server"], "certificate-authority": "ca.crt"}
    context = {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "red"}}
    one = {"clusters": [{"name": "c", "cluster": by_path}], "contexts": [context], "current-context": "here"}
    (tmp_path / "one/config").write_text(yaml.safe_dump(one))
    two = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user}],
        "current-context": "another",
    }
    (tmp_path / "two").write_text(yaml.safe_dump(two))

    listed = Path(f"{tmp_path}/none:{tmp_path}/one/config:{tmp_path}/two")
    api = await KubernetesApi.connect(kubeconfig=listed)
    assert (api.namespace, b"major" in await api.get("/version")) == ("red", True)
    await api.close()

    with pytest.raises(KubeconfigError, match="there is none of the kubeconfigs /none, /nor"):
        await from_kubeconfig(Path("/none:/nor"), None)
