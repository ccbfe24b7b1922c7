"""
userquota is taken out of a real cluster part by part, in every order, while it does not answer.

There are no nodes, so that no replica runs: what happens beside replicas is in docs/installed.md.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shlex
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.controlplane import ControlPlane
from localcluster.users import ADMIN
from rehearsal.client import Answer, Client, person
from tests.commands import command
from tests.helm.running import RELEASE, Helm, HelmError

MANIFESTS = Path(__file__).parents[2] / "manifests"
NAMESPACE = "userquota-system"
SYSTEM = "kube-system"
CONFIGURATIONS = "mutatingwebhookconfiguration,validatingwebhookconfiguration"
OF_THE_CLUSTER = f"{CONFIGURATIONS},apiservice,clusterrole,clusterrolebinding,flowschema,prioritylevelconfiguration"
OURS = "app.kubernetes.io/part-of=userquota"
PARTS = ("webhooks", "apiservice", "replicas", "rights", "namespace")
"""What administrators delete separately. "replicas" is the Deployment with its Service."""

_PART_OF_KIND = {
    "MutatingWebhookConfiguration": "webhooks",
    "ValidatingWebhookConfiguration": "webhooks",
    "APIService": "apiservice",
    "Deployment": "replicas",
    "Service": "replicas",
    "PodDisruptionBudget": "replicas",
    "NetworkPolicy": "replicas",
    "ConfigMap": "replicas",
    "Namespace": "namespace",
}
"""All others are rights: accounts, roles, and those of API Priority and Fairness."""

_PLURALS = {"NetworkPolicy": "networkpolicies"}
_NAMESPACED = {
    *("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap", "ServiceAccount"),
    *("Role", "RoleBinding"),
}
_OF_THE_CLUSTER = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "/apis/apiregistration.k8s.io/v1/apiservices",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
    "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
    "/api/v1/namespaces",
)
_NOWHERE = {"type": "ExternalName", "externalName": "localhost"}

Object = dict[str, Any]


def part_of(each: Object) -> str:
    return _PART_OF_KIND.get(each["kind"], "rights")


def path_of(each: Object) -> str:
    """Return the path of the collection that an object is in."""
    group, _, version = each["apiVersion"].rpartition("/")
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    kind, namespace = each["kind"], each["metadata"].get("namespace")
    within = f"/namespaces/{namespace}" if kind in _NAMESPACED else ""
    return f"{root}{within}/{_PLURALS.get(kind, kind.lower() + 's')}"


class Cluster:
    """A cluster in which userquota is installed and removed, in one namespace after the other."""

    def __init__(self, client: Client, manifests: str) -> None:
        self.client = client
        self._manifests = manifests

    def objects(self, namespace: str) -> list[Object]:
        """Return what is installed, for *namespace* in the place of ours; calls lead to where nothing listens."""
        items: list[Object] = json.loads(self._manifests.replace(NAMESPACE, namespace))
        for each in items:
            if each["kind"] == "Service":
                each["spec"] |= _NOWHERE
        return items

    async def install(self, namespace: str) -> list[Object]:
        items = self.objects(namespace)
        first, others = items[0], items[1:]
        assert first["kind"] == "Namespace"
        await self.done("POST", "/api/v1/namespaces", first)
        await asyncio.gather(*(self.done("POST", path_of(each), each) for each in others))
        return items

    async def remove(self, items: Iterable[Object]) -> None:
        """Delete objects; those that are gone with their namespace already are none of ours."""
        answers = await asyncio.gather(
            *(self.client.ask("DELETE", f"{path_of(each)}/{each['metadata']['name']}") for each in items)
        )
        assert {answer.status for answer in answers} <= {200, 202, 404}, answers

    async def create_namespace(self, name: str) -> None:
        """Create a namespace in which pods can be made at once."""
        await self.done("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        path = f"/api/v1/namespaces/{name}/serviceaccounts"
        answer = await self.client.ask("POST", path, {"metadata": {"name": "default"}})
        assert answer.status in (201, 409), answer

    async def create_pod(self, namespace: str, *, dry: bool = True, by: str = "alice") -> Answer:
        body = {"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        path = f"/api/v1/namespaces/{namespace}/pods{'?dryRun=All' if dry else ''}"
        return await self.client.ask("POST", path, body, by=person(by))

    async def can_create(self, *, in_default: bool) -> bool:
        """
        Whether pods can be made in a system namespace, and in another as *in_default* says, within five seconds.

        The API server hears of its webhooks by a watch.
        """
        for _ in range(100):
            people, system = await asyncio.gather(*(self.create_pod(each) for each in ("default", SYSTEM)))
            if not system.is_done:
                return False
            if people.is_done == in_default:
                return True
            await asyncio.sleep(0.05)
        return False

    async def left(self) -> list[str]:
        """Return what is left of us in the whole cluster, outside of namespaces."""
        answers = await asyncio.gather(
            *(self.client.ask("GET", f"{path}?labelSelector={OURS}") for path in _OF_THE_CLUSTER)
        )
        return [
            f"{answer.document['kind'].removesuffix('List')}/{each['metadata']['name']}"
            for answer in answers
            for each in answer.document["items"]
        ]

    async def wait_until_gone(self, namespaces: Iterable[str], *, within: float) -> float:
        """Wait until namespaces are gone; return the seconds it took."""
        begun, waited_for = time.monotonic(), set(namespaces)
        while waited_for:
            answer = await self.client.ask("GET", "/api/v1/namespaces")
            found = {each["metadata"]["name"]: each for each in answer.document["items"]}
            waited_for &= found.keys()
            if time.monotonic() - begun > within:
                raise AssertionError({name: found[name]["status"] for name in waited_for})
            await asyncio.sleep(0.2)
        return time.monotonic() - begun

    async def eventually_unavailable(self) -> None:
        """Wait until the API server says that nobody answers for our APIService."""
        path = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.view.userquota.dev"
        async with asyncio.timeout(30):
            while True:
                answer = await self.client.ask("GET", path)
                if "False" in [each["status"] for each in answer.document.get("status", {}).get("conditions", [])]:
                    return
                await asyncio.sleep(0.1)

    async def why_it_waits(self, namespace: str) -> str:
        """Return what the namespace controller says of APIs that do not answer, once it says so."""
        async with asyncio.timeout(30):
            while True:
                answer = await self.client.ask("GET", f"/api/v1/namespaces/{namespace}")
                for each in answer.document["status"].get("conditions", []):
                    if each["type"] == "NamespaceDeletionDiscoveryFailure" and each["status"] == "True":
                        return str(each["message"])
                await asyncio.sleep(0.1)

    async def done(self, method: str, path: str, body: object = None) -> None:
        answer = await self.client.ask(method, path, body)
        assert answer.is_done, answer


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> AsyncIterator[Cluster]:
    rendered = json.dumps(list(yaml.safe_load_all(control_plane.kubectl("kustomize", str(MANIFESTS)).stdout)))
    tls = ssl.create_default_context(cafile=str(control_plane.access.ca_file))
    async with Client(control_plane.server_urls, tls=tls, token=control_plane.access.token(ADMIN)) as client:
        yield Cluster(client, rendered)


@pytest.fixture(autouse=True)
def clean(control_plane: ControlPlane) -> Iterator[None]:
    """What another test or a failed one has left must not stop others."""

    def delete() -> None:
        control_plane.kubectl("delete", OF_THE_CLUSTER, f"--selector={OURS}")
        control_plane.kubectl("delete", CONFIGURATIONS, "userquota", "--ignore-not-found")
        control_plane.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")

    delete()
    yield
    delete()


@pytest.mark.chart  # two minutes
async def test_nothing_is_left_and_no_namespace_is_blocked_whatever_the_order(cluster: Cluster) -> None:
    await remove_in(itertools.permutations(PARTS), cluster)


async def remove_in(orders: Iterable[tuple[str, ...]], cluster: Cluster) -> None:
    """
    Install and remove it in each order, beside a namespace that is deleted before all else.

    Pods of people are refused until the webhooks are gone and no longer; those in exempt namespaces never are.
    """
    namespaces = []
    for number, order in enumerate(orders):
        ours, theirs = f"quota-{number}", f"team-{number}"
        namespaces += [ours, theirs]
        await cluster.create_namespace(theirs)
        assert (await cluster.create_pod(theirs, dry=False)).is_done
        items = await cluster.install(ours)
        await cluster.done("DELETE", f"/api/v1/namespaces/{theirs}")
        are_asked = True
        for part in order:
            await cluster.remove(each for each in items if part_of(each) == part)
            are_asked &= part != "webhooks"
            assert await cluster.can_create(in_default=not are_asked), (order, part)
        assert set(await cluster.left()) <= {f"Namespace/{each}" for each in namespaces}
    await cluster.wait_until_gone(namespaces, within=90)


async def test_namespaces_wait_for_the_api_service_alone(cluster: Cluster) -> None:
    """Whatever else is left; and they go on by themselves once it is deleted."""
    items = await cluster.install("quota-waits")
    await cluster.create_namespace("team-waits")
    await cluster.remove(each for each in items if part_of(each) not in ("apiservice", "namespace"))
    await cluster.eventually_unavailable()
    for each in ("quota-waits", "team-waits"):
        await cluster.done("DELETE", f"/api/v1/namespaces/{each}")
    for each in ("quota-waits", "team-waits"):
        assert "view.userquota.dev/v1alpha1" in await cluster.why_it_waits(each)

    await cluster.remove(each for each in items if part_of(each) == "apiservice")
    await cluster.wait_until_gone({"quota-waits", "team-waits"}, within=60)


async def test_kubectl_removes_all_at_once(cluster: Cluster, control_plane: ControlPlane) -> None:
    """Although it begins with the namespace; what is missing already is told, and stops nothing."""
    await cluster.install(NAMESPACE)
    await cluster.done("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.view.userquota.dev")
    ended = control_plane.kubectl("delete", "-k", str(MANIFESTS), check=False, timeout=120)
    told = [line for line in ended.stderr.splitlines() if not line.startswith("Warning: ")]
    assert len(told) == 1
    assert 'apiservices.apiregistration.k8s.io "v1alpha1.view.userquota.dev" not found' in told[0]
    await cluster.wait_until_gone({NAMESPACE}, within=60)
    assert await cluster.left() == []


def test_helm_removes_what_is_left_and_labels_find_what_it_cannot_know(helm: Helm, control_plane: ControlPlane) -> None:
    """Helm's own record is in our namespace, and is gone with it."""
    kubeconfig = control_plane.kubeconfig()
    install = ("install", RELEASE, str(MANIFESTS), f"--namespace={NAMESPACE}", "--create-namespace")
    remove = ("uninstall", RELEASE, f"--namespace={NAMESPACE}")
    everything = f"{OF_THE_CLUSTER},deployments,services,serviceaccounts,roles,rolebindings"

    def left() -> list[str]:
        words = ("get", everything, f"--selector={OURS}", "--all-namespaces", "--output=name")
        return control_plane.kubectl(*words).stdout.split()

    helm(*install, kubeconfig=kubeconfig)
    control_plane.kubectl("delete", f"{CONFIGURATIONS},deployment", f"--selector={OURS}", f"--namespace={NAMESPACE}")
    helm(*remove, kubeconfig=kubeconfig)
    assert left() == []

    helm(*install, kubeconfig=kubeconfig)
    control_plane.kubectl("delete", "apiservice", f"--selector={OURS}")
    control_plane.kubectl("delete", "namespace", NAMESPACE)
    with pytest.raises(HelmError, match="release: not found"):
        helm(*remove, kubeconfig=kubeconfig)
    assert left()
    given = command("manifests/README.md", "kubectl delete --selector").replace("\\\n", "")
    control_plane.kubectl(*shlex.split(given)[1:])
    assert left() == []
