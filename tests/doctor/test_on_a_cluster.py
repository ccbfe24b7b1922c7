"""`userquota doctor` on a real API server: before an installation, on a whole one, and with one thing broken in it."""

from __future__ import annotations

import asyncio
import base64
import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from localcluster.controlplane import ControlPlane
from tests.cli.running import userquota
from tests.cluster.running import NAMESPACE, RunningWebhook, eventually
from tests.commands import command
from webhook.certificates import self_signed
from webhook.certificates.authority import create_authority
from webhook.cli import group
from webhook.doctor.checkup import CHECKS, check_up
from webhook.doctor.findings import Finding, Verdict
from webhook.registration import manifest_files
from webhook.settings import Settings
from webhook.wiring.application import SystemClock
from webhook.wiring.doctor import look_at

ROOT = Path(__file__).parents[2]
EXEMPT = "kube-system"
CONFIGURATIONS = "mutatingwebhookconfiguration,validatingwebhookconfiguration"


def findings(
    cluster: ControlPlane, *, user: str = "admin", probe: str = EXEMPT, now: datetime | None = None
) -> dict[str, Finding]:
    settings = Settings(kubeconfig=cluster.kubeconfig(user), namespace=NAMESPACE)
    facts = asyncio.run(look_at(settings, probe_namespace=probe, now=now or SystemClock().now()))
    return {each.check: each for each in check_up(facts)}


def verdicts(found: dict[str, Finding]) -> dict[Verdict, set[str]]:
    return {verdict: {name for name, each in found.items() if each.verdict is verdict} for verdict in Verdict}


def listed(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def clean(cluster: ControlPlane) -> None:
    cluster.kubectl("delete", CONFIGURATIONS, "userquota", "--ignore-not-found")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")


OF_THE_CLUSTER = {
    "connection",
    "server-version",
    "api-groups",
    "api-server-leases",
    "clock",
    "your-rights",
    "other-webhooks",
}


def test_before_an_installation_only_the_cluster_is_judged(control_plane: ControlPlane) -> None:
    clean(control_plane)
    found = verdicts(findings(control_plane))
    assert found == {
        Verdict.OK: OF_THE_CLUSTER,
        Verdict.WRONG: set(),
        Verdict.UNKNOWN: set(),
        Verdict.NOT_YET: CHECKS.keys() - OF_THE_CLUSTER,
    }


def test_a_name_that_others_have_is_told(control_plane: ControlPlane) -> None:
    body = another(name="quota.example.com")
    body["metadata"]["name"] = "userquota"
    with added(control_plane, body):
        found = findings(control_plane)["webhook-configurations"]
    assert (found.verdict, found.found) == (
        Verdict.WRONG,
        "the name userquota is taken: quota.example.com is no webhook of this version",
    )


@pytest.fixture(scope="class")
def running(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWebhook]:
    webhook = RunningWebhook(control_plane, tmp_path_factory.mktemp("userquota"))
    webhook.install()
    webhook.apply_policy("version: 1\ndefaults: {user: {hard: {pods: 3}}}\n")
    webhook.start()
    webhook.wait_until_ready()
    yield webhook
    webhook.stop()
    clean(control_plane)


class TestRunning:
    """A replica beside the cluster, called at a URL."""

    def test_nothing_is_wrong_and_nothing_is_stored(self, running: RunningWebhook, namespace: str) -> None:
        kubeconfig = str(running.cluster.kubeconfig("admin"))
        options = ["--kubeconfig", kubeconfig, "--probe-namespace", namespace, "-o", "json"]
        pods = running.cluster.kubectl("get", "pods", "-A", "-o", "name").stdout.split()
        ended = CliRunner().invoke(group, ["doctor", *options], catch_exceptions=False)
        answer = json.loads(ended.output)
        assert [each for each in answer["checks"] if each["verdict"] != "ok"] == []
        assert [each["id"] for each in answer["checks"]] == list(CHECKS)
        assert (ended.exit_code, answer["exitCode"]) == (0, 0)
        assert "came back with our stamp" in answer["checks"][-1]["found"]
        # Those of other tests may still be going.
        assert set(running.cluster.kubectl("get", "pods", "-A", "-o", "name").stdout.split()) <= set(pods)

    def test_a_refusal_of_ours_shows_that_we_are_asked(self, running: RunningWebhook, namespace: str) -> None:
        running.set_policy(
            f"version: 1\nnamespaces: {{{namespace}: {{hard: {{pods: 0}}}}}}\ncluster: {{hard: {{pods: 0}}}}\n"
        )
        found = findings(running.cluster, user="alice", probe=namespace)["last-mile"]
        running.set_policy("version: 1\n")
        assert (found.verdict, found.found) == (
            Verdict.OK,
            f"a pod tried in namespace {namespace} was refused by userquota, which thus is asked",
        )

    def test_a_replica_that_does_not_answer_is_told_and_one_with_another_certificate(
        self, running: RunningWebhook, namespace: str
    ) -> None:
        running.stop()
        silent = findings(running.cluster, probe=namespace)["last-mile"]
        with served_by_another(running.url):
            wrong = findings(running.cluster, probe=namespace)["last-mile"]
        assert (silent.verdict, wrong.verdict) == (Verdict.WRONG, Verdict.WRONG)
        assert silent.found.startswith("nothing listens there: ")
        assert wrong.found.startswith("the API server does not trust our certificate: ")


@contextmanager
def served_by_another(url: str) -> Iterator[None]:
    """Another program at *url*, with a certificate of an authority of its own."""
    server = HTTPServer(("127.0.0.1", int(url.rpartition(":")[2])), BaseHTTPRequestHandler)
    identity = self_signed(("127.0.0.1",), SystemClock())
    server.socket = identity.context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """All manifests, and nobody who answers; the ledger and the authority as a replica would have made them."""
    clean(control_plane)
    rendered = yaml.safe_load_all(control_plane.kubectl("kustomize", str(manifest_files.folder())).stdout)
    objects = [each for each in rendered if each["kind"] != "APIService"]
    authority = create_authority(SystemClock().now()).certificate_pem
    for each in objects:
        for webhook in each.get("webhooks", ()):
            webhook["clientConfig"]["caBundle"] = base64.b64encode(authority).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "userquota-ca", "namespace": NAMESPACE},
        "data": {"tls.crt": base64.b64encode(authority).decode()},
    }
    control_plane.kubectl("apply", "--filename=-", stdin=listed([*objects, secret]))
    yield control_plane
    control_plane.kubectl("delete", "--filename=-", "--ignore-not-found", stdin=listed(objects[::-1]))


NOBODY_RUNS = {"deployment", "service"}


def test_an_installation_without_pods_lacks_nothing_else(installed: ControlPlane) -> None:
    found = verdicts(findings(installed))
    assert found[Verdict.WRONG] == NOBODY_RUNS
    assert found[Verdict.UNKNOWN] == {"last-mile"}
    assert found[Verdict.NOT_YET] == {"ledger"}


@contextmanager
def patched(cluster: ControlPlane, kind: str, name: str, patch: list[dict[str, Any]], *more: str) -> Iterator[None]:
    before = cluster.kubectl("get", kind, name, "-o", "json", *more).stdout
    cluster.kubectl("patch", kind, name, "--type=json", f"-p={json.dumps(patch)}", *more)
    try:
        yield
    finally:
        body = json.loads(before)
        del body["metadata"]["resourceVersion"]
        cluster.kubectl("replace", "--filename=-", stdin=json.dumps(body))


@contextmanager
def added(cluster: ControlPlane, body: dict[str, Any]) -> Iterator[None]:
    cluster.kubectl("create", "--filename=-", stdin=json.dumps(body))
    try:
        yield
    finally:
        cluster.kubectl("delete", "--filename=-", stdin=json.dumps(body))


@contextmanager
def gone(cluster: ControlPlane, kind: str, name: str, *more: str) -> Iterator[None]:
    body = json.loads(cluster.kubectl("get", kind, name, "-o", "json", *more).stdout)
    cluster.kubectl("delete", kind, name, *more)
    try:
        yield
    finally:
        for field in ("resourceVersion", "uid"):
            del body["metadata"][field]
        cluster.kubectl("create", "--filename=-", stdin=json.dumps(body))


VALIDATING = "validatingwebhookconfiguration"
OURS = f"--namespace={NAMESPACE}"


def in_ours(kind: str, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "made", "namespace": NAMESPACE}, **fields}


def another(**changes: Any) -> dict[str, Any]:
    """A configuration of others, made after ours, which is called nowhere."""
    webhooks = manifest_files.webhook_manifests()[1].body["webhooks"]
    webhook = next(each for each in webhooks if each["name"] == "validate.userquota.dev")
    nowhere = {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "quotas"},
        "webhooks": [{**webhook, "namespaceSelector": nowhere, **changes}],
    }


ANOTHER_AUTHORITY = base64.b64encode(create_authority(SystemClock().now()).certificate_pem).decode()
Break = Callable[[ControlPlane], Any]
SCOPED = {"scopeName": "PriorityClass", "operator": "In", "values": ["system-cluster-critical"]}

BROKEN: dict[str, tuple[Break, str, str]] = {
    "a webhook that fails open": (
        lambda it: patched(
            it, VALIDATING, "userquota", [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
        ),
        "webhook-configurations",
        "validate.userquota.dev: failurePolicy is Ignore, not Fail",
    ),
    "a webhook that is gone": (
        lambda it: patched(it, VALIDATING, "userquota", [{"op": "remove", "path": "/webhooks/1"}]),
        "webhook-configurations",
        "stamps.userquota.dev is missing",
    ),
    "a configuration that is gone": (
        lambda it: gone(it, VALIDATING, "userquota"),
        "webhook-configurations",
        "ValidatingWebhookConfiguration userquota is missing",
    ),
    "a namespace that one webhook exempts": (
        lambda it: patched(
            it,
            VALIDATING,
            "userquota",
            [{"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/0/values/-", "value": "cni"}],
        ),
        "exemptions",
        "namespace cni is not exempt from mutate.userquota.dev, ",
    ),
    "an empty caBundle": (
        lambda it: patched(
            it, VALIDATING, "userquota", [{"op": "remove", "path": "/webhooks/3/clientConfig/caBundle"}]
        ),
        "ca-bundle",
        "it is empty in advise.userquota.dev",
    ),
    "a webhook that trusts another authority": (
        lambda it: patched(
            it,
            VALIDATING,
            "userquota",
            [{"op": "replace", "path": "/webhooks/3/clientConfig/caBundle", "value": ANOTHER_AUTHORITY}],
        ),
        "ca-bundle",
        "the authority of the Secret userquota-ca is not in advise.userquota.dev",
    ),
    "the webhooks of another release": (
        lambda it: added(it, another()),
        "other-webhooks",
        "also called by validate.userquota.dev of ValidatingWebhookConfiguration quotas",
    ),
    "another webhook that calls our Service": (
        lambda it: added(it, another(name="quota.example.com")),
        "other-webhooks",
        "also called by quota.example.com of ValidatingWebhookConfiguration quotas",
    ),
    "a Service that is gone": (
        lambda it: gone(it, "service", "userquota", OURS),
        "service",
        "there is no Service userquota in userquota-system",
    ),
    "a Service with another port": (
        lambda it: patched(
            it, "service", "userquota", [{"op": "replace", "path": "/spec/ports/0/port", "value": 8443}], OURS
        ),
        "service",
        "it has no port 443, but 8443, 8444",
    ),
    "an account without its cluster rights": (
        lambda it: gone(it, "clusterrolebinding", "userquota"),
        "account-rights",
        "it may not get pods in the whole cluster; list pods in the whole cluster, and ",
    ),
    "a Role without the Secret": (
        lambda it: patched(it, "role", "userquota", [{"op": "remove", "path": "/rules/4"}], OURS),
        "account-rights",
        "it may not get secrets userquota-ca in userquota-system",
    ),
    "no room for ConfigMaps": (
        lambda it: added(it, in_ours("ResourceQuota", spec={"hard": {"count/configmaps": "3"}})),
        "quotas",
        "ResourceQuota made has room for ",
    ),
    "pods that are too small for a LimitRange": (
        lambda it: added(it, in_ours("LimitRange", spec={"limits": [{"type": "Container", "min": {"cpu": "2"}}]})),
        "own-pods",
        "one is refused: ",
    ),
    "a quota on the priority class": (
        lambda it: added(
            it, in_ours("ResourceQuota", spec={"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [SCOPED]}})
        ),
        "own-pods",
        "one is refused: ",
    ),
    "an account that is gone": (
        lambda it: gone(it, "serviceaccount", "userquota", OURS),
        "own-pods",
        "one is refused: ",
    ),
    "no policy": (
        lambda it: gone(it, "configmap", "userquota-policy", OURS),
        "policy",
        "there is no ConfigMap with the label userquota.dev/policy=true in userquota-system",
    ),
    "a policy with a mistake": (
        lambda it: patched(
            it,
            "configmap",
            "userquota-policy",
            [{"op": "replace", "path": "/data/policy.yaml", "value": "version: 7\n"}],
            OURS,
        ),
        "policy",
        "userquota-policy/policy.yaml:1:10: version: ",
    ),
    "a ledger that is damaged": (
        lambda it: added(
            it,
            {
                **in_ours("ConfigMap", data={"ledger": "no ledger"}),
                "metadata": {"name": "userquota-ledger", "namespace": NAMESPACE},
            },
        ),
        "ledger",
        "ConfigMap userquota-system/userquota-ledger: damaged: ",
    ),
    "a dead APIService": (
        lambda it: added(
            it,
            next(each for each in manifest_files.view() if each["kind"] == "APIService"),
        ),
        "view",
        "not available: ",
    ),
    "a dead APIService of a broker": (
        lambda it: added(
            it, yaml.safe_load((manifest_files.folder() / "components" / "liquid" / "apiservice.yaml").read_text())
        ),
        "liquid",
        "not available: ",
    ),
    "a name of the base that kustomize has changed": (
        lambda it: patched(
            it,
            VALIDATING,
            "userquota",
            [{"op": "replace", "path": "/webhooks/0/clientConfig/service/name", "value": "my-userquota"}],
        ),
        "webhook-configurations",
        "validate.userquota.dev: clientConfig.service.name is my-userquota, not userquota",
    ),
}


@pytest.mark.parametrize(("broken", "check", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_is_named_with_its_fix(installed: ControlPlane, broken: Break, check: str, words: str) -> None:
    looks: list[dict[str, Finding]] = []

    def is_told() -> bool:
        looks.append(findings(installed))
        return looks[-1][check].verdict is Verdict.WRONG

    with broken(installed):
        eventually(is_told, within=5)
    found = looks[-1]
    assert found[check].found.startswith(words)
    assert found[check].fix
    assert verdicts(found)[Verdict.WRONG] - NOBODY_RUNS - {check} == set()


def test_the_command_of_the_document_says_what_stands_there(installed: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / "admin.conf").write_text(installed.kubeconfig("admin").read_text())
    name, *arguments = shlex.split(command("docs/doctor.md", "userquota doctor"))
    ended = userquota(*arguments, "--probe-namespace", EXEMPT, folder=tmp_path)
    lines = ended.out.splitlines()
    assert (name, ended.code, ended.err) == ("userquota", 1, "")
    assert [line.split()[1] for line in lines if line.startswith(("ok", "wrong", "unknown"))] == [
        check for check in CHECKS if check != "ledger"
    ]
    assert lines[-1] == "17 ok, 2 wrong, 1 unknown, 1 not yet"
    text = (ROOT / "docs/doctor.md").read_text()
    example = text.partition("```\n" + "ok  ")[2].partition("```")[0].splitlines()
    assert len(example) == 4
    assert "\n".join(["ok  " + example[0], *example[1:]]) in ended.out


@pytest.mark.needs("MutatingAdmissionPolicies beside us")
def test_containers_that_others_add_to_our_pods_are_told(installed: ControlPlane) -> None:
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
    context = "Object.spec.containers.securityContext"
    restricted = f"{context}{{allowPrivilegeEscalation: false, capabilities: {context}.capabilities{{drop: ['ALL']}}}}"
    sidecar = f"Object.spec.containers{{name: 'mesh', image: 'mesh', securityContext: {restricted}}}"
    patch = f"[JSONPatch{{op: 'add', path: '/spec/containers/-', value: {sidecar}}}]"
    spec = {
        "matchConstraints": {"resourceRules": [pods]},
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
    }
    group = "admissionregistration.k8s.io/v1"
    policy = {"apiVersion": group, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "mesh"}, "spec": spec}
    ours = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
    binding = {
        "apiVersion": group,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "mesh"},
        "spec": {"policyName": "mesh", "matchResources": ours},
    }
    with added(installed, policy), added(installed, binding):
        eventually(
            lambda: findings(installed)["own-pods"].details == ("mesh",),
            what=lambda: findings(installed)["own-pods"].found,
        )


def test_certificates_that_are_out_of_date_are_told(installed: ControlPlane) -> None:
    found = findings(installed, now=SystemClock().now() + timedelta(days=4000))["ca-bundle"]
    assert (found.verdict, found.found[:36]) == (Verdict.WRONG, "its certificates are out of date in ")


def test_who_may_not_look_is_told_which_rights_are_lacking(installed: ControlPlane) -> None:
    found = findings(installed, user="dave")
    assert found["your-rights"].verdict is Verdict.UNKNOWN
    assert set(found["your-rights"].details) >= {
        "get the webhook configurations named userquota",
        "list webhook configurations",
        "list leases.coordination.k8s.io in kube-system",
        f"get secrets in {NAMESPACE}",
    }
    assert verdicts(found)[Verdict.WRONG] == {"deployment"}
    assert found["last-mile"].verdict is Verdict.UNKNOWN
    assert found["ca-bundle"].fix == "be given the right to get the webhook configurations named userquota"
