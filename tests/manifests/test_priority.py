"""Our own calls at an API server whose seats are all taken: by the manifests they have seats of their own."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import aiohttp
import pytest

from localcluster.binaries import Binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.conftest import run_control_plane
from tests.serving.stage import Stage, started
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.certificates import self_signed
from webhook.registration import manifest_files
from webhook.wiring.application import SystemClock

HELD = 2.0
"""Seconds that each request of the flood keeps its seat: the API server waits for a webhook."""

FLOOD = 60
SEATS = {"--max-requests-inflight": 16, "--max-mutating-requests-inflight": 8}
US = "system:serviceaccount:userquota-system:userquota"
OTHERS = "system:serviceaccount:default:robot"
LEDGER = "/api/v1/namespaces/userquota-system/configmaps"


@pytest.fixture(scope="module")
def narrow(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with few seats, where our account and its rights are, and nothing else of us."""
    flags = {"kube-apiserver-1": [f"{name}={count}" for name, count in SEATS.items()]}
    for cluster in run_control_plane(binaries, tmp_path_factory, Options(flags=flags)):
        for name in ("namespace", "serviceaccount", "role", "rolebinding", "clusterrole", "clusterrolebinding"):
            cluster.kubectl("apply", "-f", str(manifest_files.folder() / f"{name}.yaml"))
        cluster.kubectl("create", "clusterrolebinding", "robots", "--clusterrole=cluster-admin", f"--user={OTHERS}")
        yield cluster


@dataclass
class Client:
    """Requests of service accounts."""

    cluster: ControlPlane
    session: aiohttp.ClientSession

    async def ask(self, account: str, method: str, path: str, body: object = None) -> tuple[int, float, str]:
        """Return the status, how long it took, and the UID of the priority level."""
        headers = [("Authorization", f"Bearer {self.cluster.access.token('admin')}"), ("Impersonate-User", account)]
        headers += [("Impersonate-Group", each) for each in ("system:serviceaccounts", "system:authenticated")]
        begun = time.monotonic()
        async with self.session.request(method, path, json=body, headers=headers) as response:
            await response.read()
            level = response.headers.get("X-Kubernetes-PF-PriorityLevel-UID", "")
            return response.status, time.monotonic() - begun, level

    async def write_and_read(self) -> list[float]:
        """Do what a decision takes of the ledger; return how long each step took."""
        ledger = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "userquota-ledger"}}
        steps = [("POST", LEDGER, ledger), ("PUT", f"{LEDGER}/userquota-ledger", ledger), ("GET", "/api/v1/pods", None)]
        took = []
        for method, path, body in steps:
            status, seconds, _ = await self.ask(US, method, path, body)
            assert status in {200, 201, 409}, (method, path, status)
            took.append(seconds)
        return took


@pytest.fixture
async def client(narrow: ControlPlane) -> AsyncIterator[Client]:
    tls = ssl.create_default_context(cafile=str(narrow.access.ca_file))
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    async with aiohttp.ClientSession(narrow.server_urls[0], connector=connector) as session:
        yield Client(narrow, session)


@pytest.fixture
async def slow_webhook(narrow: ControlPlane) -> AsyncIterator[None]:
    """Whoever creates a ConfigMap in the namespace default waits for it, with a seat."""

    async def dawdle(request: AdmissionRequest, _: float) -> AdmissionResponse:
        await asyncio.sleep(HELD)
        return review.allowed(request.uid)

    async with started(Stage(self_signed(("localhost", "127.0.0.1"), SystemClock()), answer=dawdle)) as stage:
        bundle = base64.b64encode(stage.identity.ca_bundle).decode()
        await asyncio.to_thread(narrow.kubectl, "apply", "-f", "-", stdin=configuration(stage.port, bundle))
        yield
        await asyncio.to_thread(narrow.kubectl, "delete", "validatingwebhookconfiguration", "dawdling")


def configuration(port: int, bundle: str) -> str:
    return f"""
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: dawdling}}
webhooks:
- name: dawdling.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 20
  clientConfig: {{url: "https://127.0.0.1:{port}/validate", caBundle: {bundle}}}
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: default}}}}
  rules: [{{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}}]
"""


@pytest.mark.usefixtures("slow_webhook")
async def test_our_own_calls_go_on_while_other_accounts_have_taken_every_seat(
    narrow: ControlPlane, client: Client
) -> None:
    """Row 78. First without our priority level, where the same calls wait behind the others."""
    await until_it_holds(client)

    async with flood(client, "without"):
        behind = await client.write_and_read()
    for name in ("prioritylevelconfiguration", "flowschema"):
        await asyncio.to_thread(narrow.kubectl, "apply", "-f", str(manifest_files.folder() / f"{name}.yaml"))
    arguments = ("get", "prioritylevelconfiguration", "userquota", "-o", "jsonpath={.metadata.uid}")
    ours = (await asyncio.to_thread(narrow.kubectl, *arguments)).stdout
    await until_it_is_used(client, ours)
    async with flood(client, "with"):
        beside = await client.write_and_read()

    assert max(behind) > HELD / 2, behind
    assert sum(beside) < sum(behind) / 2, (beside, behind)


async def until_it_holds(client: Client) -> None:
    """Wait until the API server calls the slow webhook."""
    for number in range(100):
        status, seconds, _ = await create(client, f"first-{number}")
        assert status == 201
        if seconds >= HELD:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the API server does not call the webhook")


async def until_it_is_used(client: Client, level: str) -> None:
    """Wait until our calls have that priority level."""
    for _ in range(100):
        if (await client.ask(US, "GET", LEDGER))[2] == level:
            return
        await asyncio.sleep(0.2)
    pytest.fail("the FlowSchema of the manifests does not find our account")


async def create(client: Client, name: str) -> tuple[int, float, str]:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return await client.ask(OTHERS, "POST", "/api/v1/namespaces/default/configmaps", body)


class flood:  # noqa: N801 - used like a function
    """Have another account take every seat that it can get while the body runs."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._name = client, name

    async def __aenter__(self) -> None:
        names = [f"{self._name}-{number}" for number in range(FLOOD)]
        self._calls = [asyncio.create_task(create(self._client, each)) for each in names]
        await asyncio.sleep(HELD / 4)

    async def __aexit__(self, *_: object) -> None:
        assert not all(each.done() for each in self._calls), "the flood was over too early"
        for each in self._calls:
            each.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await asyncio.sleep(HELD)
