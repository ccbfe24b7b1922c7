"""The Helm chart: what it renders, beside what kustomize does, and its life on a real API server."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.controlplane import ControlPlane
from tests.cluster.running import eventually
from tests.commands import command
from tests.helm.running import CHART, RELEASE, TEST_POD, Helm, HelmError, Objects, by_name
from tests.overlays import Overlay, cert_manager_kinds
from webhook.certificates import self_signed, serving_names
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.kube.api import KubernetesApi
from webhook.registration import Registration, ServiceForm
from webhook.registration.manifest_files import webhook_manifests
from webhook.wiring.application import SystemClock

ROOT = Path(__file__).parents[2]
VALUES = (CHART / "values.yaml").read_text()
CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
OURS = ("kube-system", "kube-node-lease", "userquota-system")
PEM = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"
DIGEST = f"sha256:{'0' * 64}"


def of_the_release(rendered: Objects) -> Objects:
    """Leave out the pod of `helm test`."""
    return {key: each for key, each in rendered.items() if key != TEST_POD}


def of_kustomize(rendered: Objects) -> Objects:
    """
    Leave out the Namespace, which helm makes itself.

    kustomize's `namespace:` takes the kinds of flowcontrol for namespaced ones; clients take that out again.
    """
    kept = {key: each for key, each in rendered.items() if key[0] != "Namespace"}
    for (kind, _), each in kept.items():
        if kind in ("FlowSchema", "PriorityLevelConfiguration"):
            each["metadata"].pop("namespace", None)
    return kept


def container(rendered: Objects) -> dict[str, Any]:
    [found] = rendered["Deployment", RELEASE]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def exempt(rendered: Objects) -> dict[str, list[str]]:
    """Return the namespaces that the selector of each webhook names."""
    return {
        webhook["name"]: webhook["namespaceSelector"]["matchExpressions"][0]["values"]
        for (kind, _), each in rendered.items()
        if kind.endswith("WebhookConfiguration")
        for webhook in each["webhooks"]
    }


def uncommented(values: str) -> str:
    """Return values with the defaults that are comments in force; what is no default is indented, or an example."""
    return re.sub(r"^# (?=  |[a-zA-Z]+:(?! \[services))", "", values, flags=re.MULTILINE)


class TestRendering:
    def test_it_is_what_kustomize_makes(self, helm: Helm, control_plane: ControlPlane) -> None:
        kustomized = by_name(control_plane.kubectl("kustomize", str(CHART)).stdout)
        assert of_the_release(helm.rendered()) == of_kustomize(kustomized)
        assert len(kustomized) > 20

    def test_in_another_namespace_and_with_the_components_too(
        self, helm: Helm, control_plane: ControlPlane, overlay: Overlay
    ) -> None:
        of_commitments = ["commitment-source", "commitment-queue"]
        overlay.write(
            namespace="quota",
            components=["liquid", "client-ca", "client-token", "cert-manager", "one-replica", *of_commitments],
        )
        kustomized = of_kustomize(by_name(overlay.rendered(control_plane)))

        values = {
            "replicas": 1,
            "clientCA": {"configMap": "userquota-client-ca"},
            "clientTokens": {"secret": "userquota-client-tokens"},
            "certManager": {"enabled": True},
            "liquid": {"enabled": True},
            "commitmentSource": {"secret": "userquota-commitment-source"},
            "commitmentQueue": {"enabled": True},
        }
        assert of_the_release(helm.rendered(values, namespace="quota")) == kustomized
        assert ("Certificate", "userquota-tls") in kustomized
        assert ("APIService", "v1.liquid.userquota.dev") in kustomized

    def test_the_package_renders_the_same(self, helm: Helm, tmp_path: Path) -> None:
        helm("package", str(CHART), f"--destination={tmp_path}")
        [package] = tmp_path.glob("*.tgz")
        assert helm.rendered(chart=package) == helm.rendered()

    def test_the_defaults_that_are_comments_are_those_of_the_manifests(self, helm: Helm) -> None:
        values = yaml.safe_load(uncommented(VALUES))
        assert {"image", "replicas", "resources", "nodeSelector", "affinity", "exemptNamespaces"} <= values.keys()
        assert helm.rendered(values) == helm.rendered()

    def test_every_value_is_in_the_schema_and_the_schema_has_no_other(self) -> None:
        schema = json.loads((CHART / "values.schema.json").read_text())
        named = set(re.findall(r"^(?:# )?([a-zA-Z]+):(?: |$)", VALUES, re.MULTILINE))
        assert named == schema["properties"].keys() - {"global"}

    def test_its_version_is_that_of_the_project(self) -> None:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        assert (chart["version"], chart["appVersion"]) == (version, version)

    def test_helm_has_nothing_to_say_against_it(self, helm: Helm) -> None:
        assert "[WARNING]" not in helm("lint", "--strict", str(CHART))


class TestValues:
    def test_of_the_pods(self, helm: Helm) -> None:
        values = {
            "image": {
                "repository": "registry.example.com:5000/team/userquota",
                "tag": "1.2.3",
                "pullSecrets": ["pull"],
            },
            "replicas": 5,
            "resources": {"limits": {"memory": "1Gi"}},
            "priorityClassName": "",
            "nodeSelector": {"role": "infra"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "extraArgs": ["--log-level=debug"],
        }
        rendered = helm.rendered(values)

        spec = rendered["Deployment", RELEASE]["spec"]
        pod = spec["template"]["spec"]
        assert (spec["replicas"], pod["priorityClassName"], pod["nodeSelector"]) == (5, "", {"role": "infra"})
        assert (pod["tolerations"], pod["affinity"]) == ([{"operator": "Exists"}], {"nodeAffinity": {}})
        assert pod["imagePullSecrets"] == [{"name": "pull"}]
        assert container(rendered)["image"] == "registry.example.com:5000/team/userquota:1.2.3"
        assert container(rendered)["resources"] == {"limits": {"memory": "1Gi"}}
        assert container(rendered)["args"][-1] == "--log-level=debug"
        tested = rendered[TEST_POD]["spec"]
        assert (tested["nodeSelector"], tested["imagePullSecrets"]) == ({"role": "infra"}, [{"name": "pull"}])

    @pytest.mark.parametrize(
        ("image", "reference"),
        [
            ({}, "userquota:0.1.0"),
            ({"tag": "next"}, "userquota:next"),
            ({"repository": "example.com/userquota"}, "example.com/userquota:0.1.0"),
            ({"tag": "next", "digest": DIGEST}, f"userquota@{DIGEST}"),
        ],
    )
    def test_of_the_image(self, helm: Helm, image: dict[str, str], reference: str) -> None:
        rendered = helm.rendered({"image": image})
        assert container(rendered)["image"] == reference
        assert rendered[TEST_POD]["spec"]["containers"][0]["image"] == reference

    def test_exempt_namespaces_are_left_out_by_all_webhooks_but_that_of_the_policy(self, helm: Helm) -> None:
        found = exempt(helm.rendered({"exemptNamespaces": ["kube-flannel", "kube-system"]}))
        assert found.pop("policies.userquota.dev") == ["userquota-system"]
        assert len(found) == 5
        assert all(each == [*OURS, "kube-flannel"] for each in found.values())

    def test_the_policy(self, helm: Helm) -> None:
        text = "version: 1\ndefaults: {user: {hard: {pods: 3}}}\n"
        rendered = helm.rendered({"policy": {"text": text}})
        assert rendered["ConfigMap", "userquota-policy"]["data"] == {"policy.yaml": text}
        default = helm.rendered()["ConfigMap", "userquota-policy"]["data"]["policy.yaml"]
        assert read_policy([PolicyText("policy.yaml", default)]).mistakes == ()
        assert ("ConfigMap", "userquota-policy") not in helm.rendered({"policy": {"create": False}})

    def test_only_the_api_server_may_call(self, helm: Helm) -> None:
        own = {"from": [{"ipBlock": {"cidr": "10.0.0.0/28"}}]}
        proof = {"clientCA": {"pem": PEM, "names": ["a", "b"]}, "clientTokens": {"secret": "t", "key": "k"}}
        rendered = helm.rendered({**proof, "networkPolicy": own})

        assert rendered["ConfigMap", "userquota-client-ca"]["data"] == {"ca.crt": PEM}
        assert container(rendered)["args"][-4:] == [
            "--client-ca=/etc/userquota/client-ca/ca.crt",
            "--client-name=a",
            "--client-name=b",
            "--client-token-file=/etc/userquota/client-tokens/tokens",
        ]
        tokens, client_ca = rendered["Deployment", RELEASE]["spec"]["template"]["spec"]["volumes"]
        assert client_ca["configMap"] == {"name": "userquota-client-ca"}
        assert tokens["secret"] == {"secretName": "t", "items": [{"key": "k", "path": "tokens"}]}
        [ingress] = rendered["NetworkPolicy", RELEASE]["spec"]["ingress"]
        assert ingress["from"] == own["from"]

    def test_certificates_of_another_issuer(self, helm: Helm) -> None:
        issuer = {"name": "internal", "kind": "ClusterIssuer"}
        rendered = helm.rendered({"certManager": {"enabled": True, "issuerRef": issuer}}, namespace="quota")
        of_cert_manager = {key: each for key, each in rendered.items() if key[0] in ("Certificate", "Issuer")}
        assert list(of_cert_manager) == [("Certificate", "userquota-tls")]
        [certificate] = of_cert_manager.values()
        assert certificate["spec"]["issuerRef"] == issuer
        assert certificate["spec"]["dnsNames"] == ["userquota.quota.svc"]

    def test_without_the_view_nothing_of_it_is_left(self, helm: Helm) -> None:
        rendered = helm.rendered({"view": {"enabled": False}})
        assert len(rendered) == len(helm.rendered()) - 5
        text = json.dumps(list(rendered.values()))
        assert re.findall(r"8444|extension-apiserver-authentication|.{20}(?<!re)(?<!Re)view.{20}", text) == []
        assert len(rendered["Service", RELEASE]["spec"]["ports"]) == len(container(rendered)["ports"]) == 1

    def test_of_liquid_there_is_nothing_unless_it_is_asked_for(self, helm: Helm) -> None:
        assert "liquid" not in json.dumps(list(helm.rendered().values()))
        rendered = helm.rendered({"liquid": {"enabled": True}})
        assert container(rendered)["args"][-1] == "--liquid"
        assert len(rendered) == len(helm.rendered()) + 6

    def test_commitments_of_another_system(self, helm: Helm) -> None:
        source = ("Deployment", "userquota-commitment-source")
        assert source not in helm.rendered()
        common = {"image": {"tag": "next"}, "nodeSelector": {"role": "infra"}, "replicas": 5}
        given = {"secret": "s", "every": "1h30m"}
        spec = helm.rendered({**common, "commitmentSource": given})[source]["spec"]
        pod = spec["template"]["spec"]
        [container] = pod["containers"]
        assert (spec["replicas"], pod["nodeSelector"], container["image"]) == (1, {"role": "infra"}, "userquota:next")
        assert pod["volumes"] == [{"name": "source", "secret": {"secretName": "s"}}]
        assert container["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "s", "key": "url"}
        assert "--every=1h30m" in container["args"]

        pod = helm.rendered({"commitmentSource": {"configMap": "c"}})[source]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert pod["volumes"] == [{"name": "source", "configMap": {"name": "c"}}]
        assert [each["name"] for each in container["env"]] == ["USERQUOTA_NAMESPACE"]
        path = "/etc/userquota/commitment-source/commitments.yaml"
        assert container["args"] == ["commitments", "sync", path, "--every=5m"]

    def test_a_queue_of_commitments(self, helm: Helm) -> None:
        queue = ("Deployment", "userquota-commitment-queue")
        assert queue not in helm.rendered({"commitmentQueue": {"every": "1m"}})
        common = {"image": {"tag": "next"}, "nodeSelector": {"role": "infra"}, "replicas": 5}
        rendered = helm.rendered({**common, "commitmentQueue": {"enabled": True, "every": "30s"}})
        assert len(rendered) == len(helm.rendered()) + 5
        spec = rendered[queue]["spec"]
        pod = spec["template"]["spec"]
        [container] = pod["containers"]
        assert (spec["replicas"], pod["nodeSelector"], container["image"]) == (1, {"role": "infra"}, "userquota:next")
        assert container["args"] == ["commitments", "confirm", "--waiting", "--every=30s"]

    def test_without_the_groups_of_openshift_their_two_objects_are_gone(self, helm: Helm) -> None:
        gone = helm.rendered().keys() - helm.rendered({"groups": {"enabled": False}}).keys()
        assert gone == {("ClusterRole", "userquota-groups"), ("ClusterRoleBinding", "userquota-groups")}

    def test_what_is_counted_may_be_read(self, helm: Helm) -> None:
        rendered = helm.rendered({"counted": ["services", "widgets.example.com"]})
        services, widgets = (
            rendered["ClusterRole", f"userquota-counted-{each}"] for each in ("services", "widgets.example.com")
        )
        verbs = ["get", "list", "watch"]
        assert services["rules"] == [{"apiGroups": [""], "resources": ["services"], "verbs": verbs}]
        assert widgets["rules"] == [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": verbs}]
        [selector] = rendered["ClusterRole", "userquota-counted"]["aggregationRule"]["clusterRoleSelectors"]
        assert selector["matchLabels"].items() <= services["metadata"]["labels"].items()

    def test_what_watches_over_it_is_what_kustomize_makes(self, helm: Helm, control_plane: ControlPlane) -> None:
        folder = str(CHART / "monitoring")
        kustomized = by_name(control_plane.kubectl("kustomize", folder).stdout)
        rendered = helm.rendered({"monitoring": {"enabled": True}})
        assert {key: rendered[key] for key in rendered.keys() - helm.rendered().keys()} == kustomized

    def test_prometheus_checks_the_certificate(self, helm: Helm) -> None:
        monitoring = {"enabled": True, "labels": {"release": "prometheus"}}
        values = {"monitoring": monitoring, "certManager": {"enabled": True}}
        found = helm.rendered(values, namespace="quota")["ServiceMonitor", RELEASE]
        [endpoint] = found["spec"]["endpoints"]
        assert found["metadata"]["labels"]["release"] == "prometheus"
        secret = {"name": "userquota-tls", "key": "ca.crt"}
        assert endpoint["tlsConfig"] == {"serverName": "userquota.quota.svc", "ca": {"secret": secret}}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"replicas": "three"}, "at '/replicas': got string, want integer"),
        ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
        ({"replica": 1}, "at '': additional properties 'replica' not allowed"),
        ({"image": {"tags": "x"}}, "at '/image': additional properties 'tags' not allowed"),
        ({"image": {"digest": "sha256:1"}}, "at '/image/digest': 'sha256:1' does not match pattern"),
        ({"resources": {"limits": {"memory": None, "cpu": []}}}, "at '/resources/limits/cpu': got array"),
        ({"extraArgs": ["log-level=debug"]}, "at '/extraArgs/0': 'log-level=debug' does not match pattern"),
        ({"exemptNamespaces": ["Team"]}, "at '/exemptNamespaces/0': 'Team' does not match pattern"),
        ({"policy": {"text": {"version": 1}}}, "at '/policy/text': got object, want string"),
        ({"policy": {"create": False, "text": "version: 1"}}, "policy.text: needs policy.create: true"),
        ({"clientCA": {"pem": "x"}}, "at '/clientCA/pem': 'x' does not match pattern"),
        ({"clientCA": {"pem": PEM, "configMap": "x"}}, "clientCA: give pem or configMap, not both"),
        ({"clientCA": {"names": ["x"]}}, "clientCA.names: needs clientCA.pem or clientCA.configMap"),
        ({"liquid": {"enabled": True}, "view": {"enabled": False}}, "liquid.enabled: needs view.enabled: true"),
        (
            {"commitmentSource": {"secret": "a", "configMap": "b"}},
            "commitmentSource: give secret or configMap, not both",
        ),
        ({"commitmentSource": {"every": "5"}}, "at '/commitmentSource/every': '5' does not match pattern"),
        ({"commitmentQueue": {"every": "5"}}, "at '/commitmentQueue/every': '5' does not match pattern"),
        ({"certManager": {"issuerRef": {"name": "x"}}}, "certManager.issuerRef: needs certManager.enabled: true"),
        ({"certManager": {"issuerRef": {}}}, "at '/certManager/issuerRef': missing property 'name'"),
        ({"counted": ["*"]}, "at '/counted/0': '*' does not match pattern"),
        ({"networkPolicy": {"from": [{"cidr": "x"}]}}, "at '/networkPolicy/from/0': additional properties 'cidr'"),
        ({"networkPolicy": {"from": [{}]}}, "at '/networkPolicy/from/0': minProperties: got 0, want 1"),
    ],
)
def test_a_wrong_value_is_named(helm: Helm, values: dict[str, Any], problem: str) -> None:
    with pytest.raises(HelmError) as told:
        helm.rendered(values)
    assert problem in str(told.value)


class Release:
    """The chart in a namespace of its own on a real API server. There are no nodes, so that no replica answers."""

    def __init__(self, helm: Helm, control_plane: ControlPlane, namespace: str) -> None:
        self.control_plane = control_plane
        self.namespace = namespace
        self._helm = helm

    def helm(self, verb: str, *arguments: str, values: object = None) -> str:
        """Return what helm says and logs."""
        options = [RELEASE, *arguments, f"--namespace={self.namespace}", "--debug"]
        done = self._helm.ended(verb, *options, kubeconfig=self.control_plane.kubeconfig(), values=values)
        return done.stdout + done.stderr

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        done = self.control_plane.kubectl(*arguments, f"--namespace={self.namespace}", stdin=stdin, check=check)
        return done.stdout + done.stderr

    def let_nothing_answer(self) -> None:
        """Lead the Service to the loopback interface, where nothing listens."""
        nowhere = {"type": "ExternalName", "externalName": "localhost", "clusterIP": None, "clusterIPs": None}
        self.kubectl("patch", "service", RELEASE, f"--patch={json.dumps({'spec': nowhere})}")

    def replicas(self) -> str:
        return self.kubectl("get", "deployment", RELEASE, "--output=jsonpath={.spec.replicas}")

    def bundles(self) -> list[str]:
        path = "--output=jsonpath={.webhooks[*].clientConfig.caBundle}"
        return [each for kind in CONFIGURATIONS for each in self.kubectl("get", kind, RELEASE, path).split()]

    def versions(self) -> dict[str, str]:
        """Return the generation of each object, or its version where it has none."""
        found = json.loads(self.kubectl("get", KINDS, f"--selector={OF_IT}", "--output=json"))["items"]
        metadata = {f"{each['kind']}/{each['metadata']['name']}": each["metadata"] for each in found}
        return {name: str(each.get("generation", each["resourceVersion"])) for name, each in metadata.items()}

    def try_a_pod(self) -> str:
        """Return what is said to a pod in a namespace that is not exempt."""
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}}
        stdin = json.dumps(pod)
        done = self.control_plane.kubectl(
            "create", "-f", "-", "-n", "default", "--dry-run=server", stdin=stdin, check=False
        )
        return (done.stdout + done.stderr).strip()


CONTAINER = {"name": "c", "image": "i"}
OF_IT = "app.kubernetes.io/name=userquota"
KINDS = (
    "deployments.apps,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,"
    f"clusterroles,clusterrolebindings,flowschemas,prioritylevelconfigurations,apiservices,{','.join(CONFIGURATIONS)}"
)


@pytest.fixture
def release(helm: Helm, control_plane: ControlPlane) -> Iterator[Release]:
    release = Release(helm, control_plane, f"quota-{secrets.token_hex(4)}")
    release.control_plane.create_namespace(release.namespace)
    yield release
    for kind in (*CONFIGURATIONS, "apiservice"):  # what a failed test leaves behind must not stop others
        release.kubectl("delete", kind, f"--selector={OF_IT}")
    release.helm("uninstall", "--ignore-not-found")
    release.kubectl("delete", "namespace", release.namespace, "--wait=false")


async def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(
    release: Release, api: KubernetesApi
) -> None:
    assert release.try_a_pod() == "pod/p created (server dry run)"
    release.helm("install", str(CHART), values={"counted": ["services"]})
    release.let_nothing_answer()
    assert 'failed calling webhook "mutate.userquota.dev"' in release.try_a_pod()
    trust = self_signed(serving_names(release.namespace), SystemClock())
    await Registration(api, ServiceForm(webhook_manifests()), trust, on_drift=lambda _: None).register()
    [bundle] = set(release.bundles())
    counted = "--output=jsonpath={.rules[*].resources[*]}"
    eventually(lambda: release.kubectl("get", "clusterrole", "userquota-counted", counted) == "services")

    before = release.versions()
    release.helm("upgrade", str(CHART), values={"counted": ["services"]})
    assert release.versions() == before
    release.helm("upgrade", str(CHART), values={"counted": ["services"], "replicas": 2})
    assert release.replicas() == "2"
    changed = {name for name, each in release.versions().items() if before[name] != each}
    assert changed == {"Deployment/userquota"}
    release.helm("rollback", "1")
    assert release.replicas() == "3"
    assert release.bundles() == [bundle] * 6

    deleted = re.findall(r'msg="starting delete resource".* kind=(\w+)', release.helm("uninstall"))
    assert deleted[:3] == ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService"]
    assert release.versions() == {}
    assert release.try_a_pod() == "pod/p created (server dry run)"


def test_what_kubectl_installed_is_taken_over(helm: Helm, control_plane: ControlPlane, release: Release) -> None:
    rendered = list(of_the_release(helm.rendered(namespace=release.namespace)).values())
    release.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": rendered}))
    release.let_nothing_answer()

    with pytest.raises(HelmError, match="exists and cannot be imported into the current release"):
        release.helm("install", str(CHART))
    release.helm("install", str(CHART), "--take-ownership")
    with pytest.raises(HelmError, match='conflict with "kubectl-client-side-apply"'):
        release.helm("upgrade", str(CHART), values={"replicas": 2})
    release.helm("upgrade", str(CHART), "--force-conflicts", values={"replicas": 2})

    assert release.replicas() == "2"
    release.helm("uninstall")
    assert release.versions() == {}


def test_the_api_server_accepts_all_that_values_bring(helm: Helm, release: Release) -> None:
    values = {
        "image": {"repository": "example.com/userquota", "digest": DIGEST, "pullSecrets": ["pull"]},
        "priorityClassName": "",
        "tolerations": [{"operator": "Exists"}],
        "exemptNamespaces": ["kube-flannel"],
        "clientCA": {"pem": PEM},
        "clientTokens": {"secret": "tokens"},
        "counted": ["services", "widgets.example.com"],
        "networkPolicy": {"from": [{"ipBlock": {"cidr": "10.0.0.0/28"}}]},
        "certManager": {"enabled": True},
    }
    restricted = "pod-security.kubernetes.io/enforce=restricted"
    release.kubectl("label", "namespace", release.namespace, restricted)
    rendered = helm.rendered(values, namespace=release.namespace)

    with cert_manager_kinds(release.control_plane):
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(rendered.values())})
        release.kubectl("create", "-f", "-", "--dry-run=server", "--warnings-as-errors", stdin=listed)
    assert {"Certificate", "Issuer", "ConfigMap", "Pod"} <= {kind for kind, _ in rendered}


def test_the_commands_of_the_readme_install_it(helm: Helm, control_plane: ControlPlane, release: Release) -> None:
    """They are run with the namespace of the test in the place of ours, and with the values that stand there."""
    text = (CHART / "README.md").read_text().partition("## Helm\n")[2]
    values = re.search(r"```yaml\n# values.yaml\n(.*?)```", text, re.DOTALL)
    assert values is not None
    release.kubectl("delete", "namespace", release.namespace)
    block = command("manifests/README.md", "kubectl create namespace").replace("userquota-system", release.namespace)
    kubectl, label, install = (shlex.split(line) for line in block.splitlines())

    for line in (kubectl, label):
        control_plane.kubectl(*line[1:])
    with_values = [each for each in install[1:] if each not in ("--values", "values.yaml")]
    chart = [str(CHART) if each == "manifests/" else each for each in with_values]
    helm(*chart, kubeconfig=control_plane.kubeconfig(), values=yaml.safe_load(values[1]))

    image = "--output=jsonpath={.spec.template.spec.containers[0].image}"
    assert release.kubectl("get", "deployment", RELEASE, image) == "YOUR-REGISTRY/userquota:0.1.0"
    restricted = release.kubectl("get", "namespace", release.namespace, "--output=jsonpath={.metadata.labels}")
    assert '"pod-security.kubernetes.io/enforce":"restricted"' in restricted
