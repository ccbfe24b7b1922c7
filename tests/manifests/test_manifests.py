"""What manifests/ installs, checked by a real API server."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.running import eventually
from tests.overlays import Overlay, cert_manager_kinds
from webhook.certificates import from_secret, serving_names
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.kube.api import KubernetesApi
from webhook.kube.events import CountedEvent, EventWriter
from webhook.quota.objects import OwnerReference
from webhook.registration import Registration, ServiceForm, read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcluster.controlplane import ControlPlane

MANIFESTS = Path(__file__).parents[2] / "manifests"
NAMESPACE = "userquota-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:userquota"
OF_THE_TOOLS = {"kustomization.yaml", "Chart.yaml", "values.yaml"}
FILES = sorted(path for path in MANIFESTS.glob("*.yaml") if path.name not in OF_THE_TOOLS)


class MachineClock:
    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), tz=UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def webhooks() -> list[dict[str, Any]]:
    return [item for path in MANIFESTS.glob("*webhookconfiguration.yaml") for item in documents(path)[0]["webhooks"]]


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """Everything is installed but the webhook configurations and the APIService, which no process would answer here."""
    rendered = yaml.safe_load_all(control_plane.kubectl("kustomize", str(MANIFESTS)).stdout)
    wanted = [
        document for document in rendered if not document["kind"].endswith(("WebhookConfiguration", "APIService"))
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted})
    control_plane.kubectl("apply", "--filename=-", stdin=listed)
    yield control_plane
    control_plane.kubectl("delete", "--filename=-", "--wait=true", stdin=listed)


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_a_file_holds_one_object_and_is_listed(path: Path) -> None:
    listed = documents(MANIFESTS / "kustomization.yaml")[0]["resources"]
    assert len(documents(path)) == 1
    assert path.name in listed


def test_nothing_is_listed_twice_or_missing() -> None:
    assert sorted(documents(MANIFESTS / "kustomization.yaml")[0]["resources"]) == [path.name for path in FILES]


def test_the_api_server_accepts_all_of_it_without_a_warning(installed: ControlPlane) -> None:
    answer = installed.kubectl("apply", f"--kustomize={MANIFESTS}", "--dry-run=server", "--warnings-as-errors")
    assert len(answer.stdout.splitlines()) == len(FILES)
    assert answer.stderr == ""


def test_the_api_server_accepts_the_components_too(installed: ControlPlane, overlay: Overlay) -> None:
    components = [path.parent.name for path in MANIFESTS.glob("components/*/kustomization.yaml")]
    overlay.write(components=components)
    with cert_manager_kinds(installed):
        options = ("--dry-run=server", "--warnings-as-errors")
        answer = installed.kubectl("apply", f"--kustomize={overlay.folder}", *options)
    assert len(answer.stdout.splitlines()) == len(FILES) + 20


def overlays() -> list[str]:
    """The overlays of README.md that are about who may call."""
    text = (MANIFESTS / "README.md").read_text().partition("## Who may call the webhook")[2]
    return re.findall(r"```yaml\n# kustomization.yaml\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def restricted(installed: ControlPlane, tmp_path: Path) -> list[dict[str, Any]]:
    """What the overlays of README.md make of the manifests, one on top of the other."""
    base = MANIFESTS
    for number, text in enumerate(overlays()):
        folder = tmp_path / f"overlay-{number}"
        folder.mkdir()
        (folder / "client-ca.crt").write_text("a certificate\n")
        (folder / "kustomization.yaml").write_text(text.replace("path/to/manifests", os.path.relpath(base, folder)))
        base = folder
    rendered = installed.kubectl("kustomize", str(base)).stdout
    installed.kubectl("apply", "--filename=-", "--dry-run=server", "--warnings-as-errors", stdin=rendered)
    return list(yaml.safe_load_all(rendered))


def test_the_overlays_of_the_readme_let_only_the_api_server_call(restricted: list[dict[str, Any]]) -> None:
    kinds = {
        each["kind"]: each for each in restricted if each["metadata"]["name"] in ("userquota", "userquota-client-ca")
    }
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    [mount] = pod["containers"][0]["volumeMounts"]
    [volume] = pod["volumes"]

    assert len(overlays()) == 2
    assert pod["containers"][0]["args"][-2:] == [
        f"--client-ca={mount['mountPath']}/ca.crt",
        "--client-name=kube-apiserver",
    ]
    assert volume == {"name": mount["name"], "configMap": {"name": "userquota-client-ca"}}
    assert kinds["ConfigMap"]["data"] == {"ca.crt": "a certificate\n"}
    [ingress] = kinds["NetworkPolicy"]["spec"]["ingress"]
    assert [list(each) for each in ingress["from"]] == [["ipBlock"], ["namespaceSelector"]]
    assert ingress["ports"] == [{"protocol": "TCP", "port": 8443}, {"protocol": "TCP", "port": 8444}]


def test_only_the_serving_ports_are_reachable() -> None:
    [ingress] = documents(MANIFESTS / "networkpolicy.yaml")[0]["spec"]["ingress"]
    ports = documents(MANIFESTS / "deployment.yaml")[0]["spec"]["template"]["spec"]["containers"][0]["ports"]

    assert ingress == {"ports": [{"protocol": "TCP", "port": port["containerPort"]} for port in ports]}


def test_the_pod_is_as_restricted_as_its_namespace_asks(installed: ControlPlane) -> None:
    template = documents(MANIFESTS / "deployment.yaml")[0]["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {"name": "probe", "namespace": NAMESPACE, **template["metadata"]}
    answer = installed.kubectl("create", "--filename=-", "--dry-run=server", stdin=json.dumps(pod))
    assert answer.stdout == "pod/probe created (server dry run)\n"
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


RIGHTS = [
    pytest.param("list pods --all-namespaces", True, id="it lists all pods"),
    pytest.param("watch pods --all-namespaces", True, id="it watches all pods"),
    pytest.param("watch namespaces", True, id="it watches namespaces"),
    pytest.param("get replicasets.apps --namespace=default", True, id="it reads a ReplicaSet"),
    pytest.param("get cronjobs.batch --namespace=default", True, id="it reads a CronJob"),
    pytest.param("get replicationcontrollers --namespace=default", True, id="it reads a ReplicationController"),
    pytest.param("list leases.coordination.k8s.io --namespace=kube-system", True, id="it sees API servers' Leases"),
    pytest.param("update leases.coordination.k8s.io --namespace=kube-system", False, id="it writes no Lease"),
    pytest.param("list limitranges --namespace=default", True, id="it reads LimitRanges"),
    pytest.param("update limitranges --namespace=default", False, id="it writes no LimitRange"),
    pytest.param("list runtimeclasses.node.k8s.io", True, id="it reads RuntimeClasses"),
    pytest.param("watch runtimeclasses.node.k8s.io", False, id="it watches no RuntimeClass"),
    pytest.param("update runtimeclasses.node.k8s.io", False, id="it writes no RuntimeClass"),
    pytest.param("list priorityclasses.scheduling.k8s.io", True, id="it reads PriorityClasses"),
    pytest.param("update priorityclasses.scheduling.k8s.io", False, id="it writes no PriorityClass"),
    pytest.param(
        "get resourceclaimtemplates.resource.k8s.io --namespace=default", True, id="it reads a claim template"
    ),
    pytest.param(
        "list resourceclaimtemplates.resource.k8s.io --namespace=default",
        False,
        id="it lists no claim templates",
    ),
    pytest.param("watch deployments.apps --namespace=default", True, id="it counts workloads"),
    pytest.param("update deployments.apps --namespace=default", False, id="it changes no workload"),
    pytest.param("list services --namespace=default", False, id="it lists nothing else"),
    pytest.param("create pods --namespace=default", False, id="it creates no pod"),
    pytest.param("patch pods --namespace=default", False, id="it changes no pod"),
    pytest.param("delete pods --namespace=default", False, id="it deletes no pod"),
    pytest.param(f"watch configmaps --namespace={NAMESPACE}", True, id="it watches the policies"),
    pytest.param(f"update configmaps --namespace={NAMESPACE}", False, id="it changes no policy"),
    pytest.param(f"create configmaps --namespace={NAMESPACE}", True, id="it creates the ledger"),
    pytest.param(f"update configmaps/userquota-ledger --namespace={NAMESPACE}", True, id="it writes the ledger"),
    pytest.param(f"delete configmaps/userquota-ledger --namespace={NAMESPACE}", False, id="it deletes no ledger"),
    pytest.param(
        f"update configmaps/userquota-policy-last-good --namespace={NAMESPACE}",
        True,
        id="it copies the last good policy",
    ),
    pytest.param("update configmaps/userquota-ledger --namespace=default", False, id="it writes no ledger elsewhere"),
    pytest.param("list configmaps --all-namespaces", False, id="it lists no other ConfigMaps"),
    pytest.param(f"get secrets/userquota-ca --namespace={NAMESPACE}", True, id="it reads its authorities"),
    pytest.param(f"patch secrets/userquota-ca --namespace={NAMESPACE}", True, id="it replaces them in time"),
    pytest.param(f"create secrets --namespace={NAMESPACE}", True, id="it creates its authority"),
    pytest.param(f"update secrets/userquota-ca --namespace={NAMESPACE}", False, id="it replaces no Secret as a whole"),
    pytest.param(f"get secrets/other --namespace={NAMESPACE}", False, id="it reads no other Secret"),
    pytest.param(f"list secrets --namespace={NAMESPACE}", False, id="it lists no Secrets"),
    pytest.param("get secrets/userquota-ca --namespace=default", False, id="it reads no Secret elsewhere"),
    pytest.param(f"create events --namespace={NAMESPACE}", True, id="it reports events of its policies"),
    pytest.param("create events --namespace=default", True, id="it says what controllers were refused"),
    pytest.param("patch events --namespace=default", True, id="it counts what controllers were refused"),
    pytest.param("list events --namespace=default", False, id="it lists no events"),
    pytest.param("get events --namespace=default", False, id="it reads no event"),
    pytest.param("delete events --namespace=default", False, id="it deletes no event"),
    pytest.param("patch mutatingwebhookconfigurations/userquota", True, id="it writes its caBundle for mutating"),
    pytest.param("patch validatingwebhookconfigurations/userquota", True, id="it writes its caBundle for validating"),
    pytest.param("watch mutatingwebhookconfigurations/userquota", True, id="it sees changes of its mutating webhooks"),
    pytest.param("watch validatingwebhookconfigurations/userquota", True, id="it sees those of its validating ones"),
    pytest.param("watch validatingwebhookconfigurations/other", False, id="it watches no other webhook"),
    pytest.param("patch validatingwebhookconfigurations/other", False, id="it changes no other webhook"),
    pytest.param("delete validatingwebhookconfigurations/userquota", False, id="it does not switch itself off"),
    pytest.param("create validatingwebhookconfigurations", False, id="it makes no webhook"),
    pytest.param("impersonate users", False, id="it impersonates no user"),
    pytest.param(
        "watch configmaps/extension-apiserver-authentication --namespace=kube-system",
        True,
        id="it sees how API servers prove themselves",
    ),
    pytest.param("get configmaps/coredns --namespace=kube-system", False, id="it reads nothing else there"),
    pytest.param("patch apiservices/v1alpha1.view.userquota.dev", True, id="it writes its caBundle for the view"),
    pytest.param("patch apiservices/v1.apps", False, id="it changes no other API"),
]


@pytest.mark.parametrize(("question", "allowed"), RIGHTS)
def test_the_service_account_may_do_what_it_needs_and_no_more(
    installed: ControlPlane, question: str, *, allowed: bool
) -> None:
    answer = installed.kubectl("auth", "can-i", *question.split(), f"--as={ACCOUNT}", check=False)
    assert answer.stdout.strip() == ("yes" if allowed else "no")


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        ("list", "groups", True),
        ("watch", "groups", True),
        ("get", "groups", False),
        ("update", "groups", False),
        ("list", "users", False),
    ],
)
def test_it_lists_who_is_in_which_group_of_openshift(
    installed: ControlPlane, verb: str, resource: str, *, allowed: bool
) -> None:
    """The cluster of this test does not serve the kind, so that `kubectl auth can-i` does not know its group."""
    asked = {"group": "user.openshift.io", "resource": resource, "verb": verb}
    question = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": asked},
    }

    answer = installed.kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(question))

    assert json.loads(answer.stdout)["status"]["allowed"] is allowed


def test_a_cluster_role_with_the_label_lets_it_count_another_kind(installed: ControlPlane) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "userquota-counted-services", "labels": {"userquota.dev/counted": "true"}},
        "rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}],
    }
    question = ("auth", "can-i", "watch", "services", "--all-namespaces", f"--as={ACCOUNT}")

    installed.kubectl("apply", "-f", "-", stdin=json.dumps(role))

    eventually(lambda: installed.kubectl(*question, check=False).stdout.strip() == "yes")
    installed.kubectl("delete", "clusterrole", "userquota-counted-services")
    eventually(lambda: installed.kubectl(*question, check=False).stdout.strip() == "no")


async def test_its_rights_are_enough_for_certificates_and_registration(installed: ControlPlane, tmp_path: Path) -> None:
    nowhere = {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}
    bodies = [documents(path)[0] for path in MANIFESTS.glob("*webhookconfiguration.yaml")]
    for item in (webhook for body in bodies for webhook in body["webhooks"]):
        item["namespaceSelector"] = nowhere
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies})
    installed.kubectl("create", "--filename=-", stdin=listed)
    try:
        assert await start_as_its_pod_does(kubeconfig_of_account(installed, tmp_path), bodies)
    finally:
        installed.kubectl("delete", "--filename=-", stdin=listed)


async def test_its_rights_are_enough_to_count_what_controllers_were_refused(
    installed: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    """It may not read Events: a patch that changes nothing tells it what is stored."""
    api = await KubernetesApi.connect(kubeconfig=kubeconfig_of_account(installed, tmp_path))
    writer = EventWriter(api, namespace=NAMESPACE, clock=MachineClock())
    above, now = OwnerReference("apps/v1", "Deployment", "web", "uid-of-web"), MachineClock().now()

    for count in (2, 3):
        await writer.add(
            CountedEvent(namespace, "userquota.web", above, "NeverFits", "too large", count, now, now, {}, {})
        )

    await api.close()
    found = installed.kubectl("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].count}").stdout
    assert found == "5"


async def start_as_its_pod_does(kubeconfig: Path, bodies: list[dict[str, Any]]) -> bool:
    api = await KubernetesApi.connect(kubeconfig=kubeconfig)
    identity = await from_secret(api, namespace=NAMESPACE, names=serving_names(NAMESPACE), clock=MachineClock())
    form = ServiceForm([read_manifest(body) for body in bodies])
    registration = Registration(api, form, identity, on_drift=lambda _: None)
    await registration.register()
    await api.close()
    return registration.registered


def kubeconfig_of_account(control_plane: ControlPlane, folder: Path) -> Path:
    """Return a kubeconfig with a token of the service account, as its pod would have it."""
    config = yaml.safe_load(control_plane.kubeconfig().read_text())
    token = control_plane.kubectl("create", "token", "userquota", f"--namespace={NAMESPACE}").stdout.strip()
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def test_our_calls_to_the_api_server_have_a_priority_level_of_their_own(installed: ControlPlane) -> None:
    uid = installed.kubectl("get", "flowschema", "userquota", "--output=jsonpath={.metadata.uid}").stdout
    answer = installed.kubectl("get", "namespaces", f"--as={ACCOUNT}", "--v=8")
    assert f"X-Kubernetes-Pf-Flowschema-Uid: {uid}" in answer.stderr


def uncommented(policy: str) -> str:
    """Return a policy with its examples, which are comments there, in force."""
    return re.sub(r"^# (?=(?:users|groups|tenants):|  )", "", policy, flags=re.MULTILINE)


@pytest.mark.parametrize("edit", [pytest.param(str, id="as it is"), pytest.param(uncommented, id="with its examples")])
def test_the_default_policy_is_valid(edit: Callable[[str], str]) -> None:
    text = edit(documents(MANIFESTS / "policy.yaml")[0]["data"]["policy.yaml"])
    reading = read_policy([PolicyText("policy.yaml", text)])
    assert reading.mistakes == ()
    assert ("alice" in text.partition("\nusers:")[2]) is (edit is uncommented)


ADVICE = "advise.userquota.dev"
"""It holds nothing: what it says is said again of each pod."""
POLICIES = "policies.userquota.dev"
FAIL_OPEN = {ADVICE: ("Ignore", 3), POLICIES: ("Ignore", 15)}


@pytest.mark.parametrize("webhook", webhooks(), ids=[item["name"] for item in webhooks()])
class TestWebhook:
    def test_it_fails_closed_and_soon(self, webhook: dict[str, Any]) -> None:
        """An outage must not lock an admin out of the policy, and a large one takes seconds to be read."""
        fails = FAIL_OPEN.get(webhook["name"], ("Fail", 5))
        assert (webhook["failurePolicy"], webhook["timeoutSeconds"]) == fails

    def test_a_dry_run_calls_it(self, webhook: dict[str, Any]) -> None:
        assert webhook["sideEffects"] == ("None" if webhook["name"] == ADVICE else "NoneOnDryRun")

    def test_other_versions_of_a_kind_match_too(self, webhook: dict[str, Any]) -> None:
        assert webhook["matchPolicy"] == "Equivalent"

    def test_its_own_namespace_and_the_systems_are_exempt_and_nothing_else(self, webhook: dict[str, Any]) -> None:
        exempt = ["kube-system", "kube-node-lease", NAMESPACE]
        by_name = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": exempt}
        if webhook["name"] == POLICIES:
            by_name = {**by_name, "operator": "In", "values": [NAMESPACE]}
        assert webhook["namespaceSelector"] == {"matchExpressions": [by_name]}
        assert "objectSelector" not in webhook

    def test_the_ca_bundle_is_left_to_the_webhook_itself(self, webhook: dict[str, Any]) -> None:
        assert list(webhook["clientConfig"]) == ["service"]
        service = webhook["clientConfig"]["service"]
        assert (service["name"], service["namespace"], service["port"]) == ("userquota", NAMESPACE, 443)


def test_the_service_leads_to_the_container() -> None:
    service = documents(MANIFESTS / "service.yaml")[0]["spec"]
    pod = documents(MANIFESTS / "deployment.yaml")[0]["spec"]["template"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    ports = pod["spec"]["containers"][0]["ports"]
    wanted = [(443, ports[0]["name"]), (8444, ports[1]["name"])]
    assert [(item["port"], item["targetPort"]) for item in service["ports"]] == wanted
    container = pod["spec"]["containers"][0]
    assert f"--view-listen=:{ports[1]['containerPort']}" in container["args"]
    view = documents(MANIFESTS / "apiservice.yaml")[0]["spec"]
    assert view["service"] == {"name": "userquota", "namespace": NAMESPACE, "port": 8444}
    assert "caBundle" not in view


@pytest.mark.parametrize(
    ("question", "allowed"),
    [
        ("create selfquotas.view.userquota.dev", True),
        ("create selfallocations.view.userquota.dev", True),
        ("create quotachecks.view.userquota.dev", True),
        ("list quotas.view.userquota.dev", False),
        ("get quotas.view.userquota.dev", False),
        ("list holders.view.userquota.dev", False),
        ("list allocations.view.userquota.dev", False),
    ],
)
def test_everybody_may_see_their_own_quotas_and_nobody_elses(
    installed: ControlPlane, question: str, *, allowed: bool
) -> None:
    """The API server of this test does not serve the group, so that it is asked by a review."""
    verb, _, resource = question.partition(" ")
    plural, _, group = resource.partition(".")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "somebody",
            "groups": ["system:authenticated"],
            "resourceAttributes": {"verb": verb, "group": group, "resource": plural},
        },
    }

    answer = installed.kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(review))

    assert json.loads(answer.stdout)["status"]["allowed"] is allowed
