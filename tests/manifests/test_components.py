"""The components of manifests/ and the transformer for another namespace, rendered and shown to a real API server."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.controlplane import ControlPlane
from tests.overlays import MANIFESTS, Overlay, cert_manager_kinds
from webhook.certificates import called_as
from webhook.cli.commitment_edits import confirm
from webhook.cli.commitment_source import command as sync
from webhook.cli.serve import command

COMPONENTS = sorted(path.parent.name for path in MANIFESTS.glob("components/*/kustomization.yaml"))
SOURCE, QUEUE = OF_THEIR_OWN = ("commitment-source", "commitment-queue")
"""Those that are Deployments of their own."""
NAMESPACE = "quota"

Objects = dict[str, dict[str, Any]]


def objects(overlay: Overlay, control_plane: ControlPlane) -> Objects:
    """Return what an overlay renders, by kind and name."""
    found = yaml.safe_load_all(overlay.rendered(control_plane))
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def pod(rendered: Objects) -> dict[str, Any]:
    return dict(rendered["Deployment/userquota"]["spec"]["template"]["spec"])


def added(rendered: Objects, control_plane: ControlPlane) -> list[str]:
    """Return the options that are not those of the base."""
    base = yaml.safe_load((MANIFESTS / "deployment.yaml").read_text())["spec"]["template"]["spec"]["containers"][0]
    given: list[str] = pod(rendered)["containers"][0]["args"]
    assert given[: len(base["args"])] == base["args"]
    return given[len(base["args"]) :]


def test_the_api_server_accepts_all_of_it_in_another_namespace(
    control_plane: ControlPlane, overlay: Overlay, namespace: str
) -> None:
    """In ours they are tried in test_manifests.py, which has that namespace."""
    overlay.write(components=COMPONENTS, namespace=namespace)
    options = [f"--kustomize={overlay.folder}", "--dry-run=server", "--warnings-as-errors"]
    with cert_manager_kinds(control_plane):
        control_plane.kubectl("apply", *options)
        control_plane.kubectl("apply", *options, "--server-side")


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_does_without_the_others(control_plane: ControlPlane, overlay: Overlay, component: str) -> None:
    overlay.write(components=[component])
    spec = objects(overlay, control_plane)["Deployment/userquota"]["spec"]
    base = yaml.safe_load((MANIFESTS / "deployment.yaml").read_text())["spec"]
    assert (spec == base) == (component in OF_THEIR_OWN)
    assert {**spec, "replicas": base["replicas"], "template": base["template"]} == base


def test_another_namespace_leaves_nothing_in_ours(control_plane: ControlPlane, overlay: Overlay) -> None:
    overlay.write(components=COMPONENTS, namespace=NAMESPACE)
    moved = overlay.rendered(control_plane)
    overlay.write(components=COMPONENTS)
    ours = overlay.rendered(control_plane)

    assert "userquota-system" not in moved
    assert list(yaml.safe_load_all(ours.replace("userquota-system", NAMESPACE))) == [
        without_namespace(each) for each in yaml.safe_load_all(moved)
    ]


def test_prometheus_finds_the_certificate_of_another_namespace(control_plane: ControlPlane, overlay: Overlay) -> None:
    base = os.path.relpath(MANIFESTS, overlay.folder)
    overlay.write(namespace=NAMESPACE, resources=[base, f"{base}/monitoring"])
    monitor = objects(overlay, control_plane)["ServiceMonitor/userquota"]
    assert monitor["metadata"]["namespace"] == NAMESPACE
    assert monitor["spec"]["endpoints"][0]["tlsConfig"]["serverName"] == called_as(NAMESPACE)


def without_namespace(body: dict[str, Any]) -> dict[str, Any]:
    """Take out what kustomize writes into kinds that it does not know as those of the cluster; kubectl does too."""
    if body["apiVersion"].startswith("flowcontrol."):
        body["metadata"].pop("namespace", None)
    return body


class TestCertManager:
    def test_the_certificate_is_mounted_and_has_the_name_that_is_called(
        self, control_plane: ControlPlane, overlay: Overlay
    ) -> None:
        overlay.write(components=["cert-manager"], namespace=NAMESPACE)
        rendered = objects(overlay, control_plane)

        [volume] = pod(rendered)["volumes"]
        [mount] = pod(rendered)["containers"][0]["volumeMounts"]
        certificate = rendered["Certificate/userquota-tls"]
        assert certificate["spec"]["dnsNames"] == [called_as(NAMESPACE)]
        assert (volume["name"], volume["secret"]) == (mount["name"], {"secretName": certificate["spec"]["secretName"]})
        files = {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
        assert added(rendered, control_plane) == [f"--tls-{each}={mount['mountPath']}/{files[each]}" for each in files]

    def test_the_authority_is_signed_by_itself_and_signs_the_certificate(
        self, control_plane: ControlPlane, overlay: Overlay
    ) -> None:
        overlay.write(components=["cert-manager"])
        rendered = objects(overlay, control_plane)

        authority, leaf = (rendered[f"Certificate/{name}"]["spec"] for name in ("userquota-authority", "userquota-tls"))
        signing = rendered[f"Issuer/{leaf['issuerRef']['name']}"]["spec"]
        assert signing == {"ca": {"secretName": authority["secretName"]}}
        assert rendered[f"Issuer/{authority['issuerRef']['name']}"]["spec"] == {"selfSigned": {}}
        assert authority["secretName"] not in ("userquota-ca", leaf["secretName"])  # the first is userquota's own


def test_all_options_that_components_add_are_those_of_serve(control_plane: ControlPlane, overlay: Overlay) -> None:
    overlay.write(components=COMPONENTS)
    options = {each.partition("=")[0] for each in added(objects(overlay, control_plane), control_plane)}
    known = {name for option in command.params for name in option.opts}
    assert options <= known
    assert {"--client-ca", "--client-token-file", "--tls-cert"} <= options


def test_components_add_to_each_other_and_to_what_an_overlay_mounts(
    control_plane: ControlPlane, overlay: Overlay, tmp_path: Path
) -> None:
    own = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: userquota, namespace: userquota-system}\n"
        "spec: {template: {spec: {\n"
        "  volumes: [{name: own, emptyDir: {}}],\n"
        "  containers: [{name: userquota, volumeMounts: [{name: own, mountPath: /own}]}]}}}\n"
    )
    overlay.write(components=COMPONENTS, patches=[{"patch": own}])
    found = pod(objects(overlay, control_plane))
    mounts = {each["name"]: each["mountPath"] for each in found["containers"][0]["volumeMounts"]}
    assert mounts.keys() == {each["name"] for each in found["volumes"]} == {"own", "client-ca", "client-tokens", "tls"}
    assert len(set(mounts.values())) == len(mounts)


def test_one_replica_goes_on_with_the_shared_ledger(control_plane: ControlPlane, overlay: Overlay) -> None:
    overlay.write(components=["one-replica"])
    rendered = objects(overlay, control_plane)
    spec = rendered["Deployment/userquota"]["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert "--ledger=kubernetes" in pod(rendered)["containers"][0]["args"]
    assert rendered["PodDisruptionBudget/userquota"]["spec"]["maxUnavailable"] == 1  # a node can be drained


@pytest.mark.parametrize("component", OF_THEIR_OWN)
def test_no_request_reaches_what_changes_commitments_and_it_is_as_locked_up_as_the_webhook(
    control_plane: ControlPlane, overlay: Overlay, component: str
) -> None:
    overlay.write(components=[component])
    rendered = objects(overlay, control_plane)
    ours, other = rendered["Deployment/userquota"]["spec"], rendered[f"Deployment/userquota-{component}"]["spec"]
    labels = other["template"]["metadata"]["labels"]
    assert labels == other["selector"]["matchLabels"]
    selectors = [rendered["Service/userquota"]["spec"]["selector"], ours["selector"]["matchLabels"]]
    assert all(not each.items() <= labels.items() for each in selectors)
    blocked = rendered[f"NetworkPolicy/userquota-{component}"]["spec"]
    assert blocked == {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]}

    webhook, own = ours["template"]["spec"], other["template"]["spec"]
    assert own["securityContext"] == webhook["securityContext"]
    assert own["containers"][0]["securityContext"] == webhook["containers"][0]["securityContext"]
    assert own["containers"][0]["image"] == webhook["containers"][0]["image"]


@pytest.mark.parametrize(("component", "may_create"), [(SOURCE, ["configmaps", "events"]), (QUEUE, ["events"])])
def test_what_changes_commitments_may_do_what_a_document_says_of_whoever_does(
    control_plane: ControlPlane, overlay: Overlay, component: str, may_create: list[str]
) -> None:
    overlay.write(components=[component])
    rules = objects(overlay, control_plane)[f"Role/userquota-{component}"]["rules"]
    document = (MANIFESTS.parent / "docs" / "commitments.md").read_text()
    [block] = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", document, re.DOTALL)
    documented = yaml.safe_load(block)["rules"]
    assert all(each in rules for each in documented)
    others = [each for each in rules if each not in documented]
    assert [(each["resources"], each["verbs"]) for each in others] == [([each], ["create"]) for each in may_create]


def test_those_that_change_commitments_differ_in_what_they_do_alone() -> None:
    """Their files are written twice: what is changed of one has to be changed of the other."""
    source, queue = without_what_it_does(SOURCE), without_what_it_does(QUEUE)
    assert source == queue
    assert len(source) == 6


def without_what_it_does(component: str) -> dict[str, Any]:
    """Return the files of a component by name: without its name, its rights, and what its container is given."""
    folder = MANIFESTS / "components" / component
    found = {path.name: yaml.safe_load(path.read_text().replace(component, "")) for path in folder.iterdir()}
    del found["role.yaml"]["rules"]
    pod = found["deployment.yaml"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    del container["args"]
    container["env"] = [each for each in container["env"] if each["name"] == "USERQUOTA_NAMESPACE"]
    for each, field in ((pod, "volumes"), (container, "volumeMounts")):
        each.pop(field, None)
    return found


class TestCommitmentSource:
    def test_its_options_are_those_of_sync_and_its_files_are_mounted(
        self, control_plane: ControlPlane, overlay: Overlay
    ) -> None:
        overlay.write(components=[SOURCE])
        pod = objects(overlay, control_plane)[f"Deployment/userquota-{SOURCE}"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        words, options = container["args"][:3], dict(each.split("=") for each in container["args"][3:])
        assert words == ["commitments", "sync", "$(SOURCE)"]
        assert options.keys() <= {name for option in sync.params for name in option.opts}
        [mount], [volume] = container["volumeMounts"], pod["volumes"]
        assert {str(Path(options[each]).parent) for each in ("--token-file", "--ca-file")} == {mount["mountPath"]}
        assert volume["secret"]["secretName"] == container["env"][0]["valueFrom"]["secretKeyRef"]["name"]


def test_the_options_of_the_queue_are_those_of_confirm(control_plane: ControlPlane, overlay: Overlay) -> None:
    overlay.write(components=[QUEUE])
    pod = objects(overlay, control_plane)[f"Deployment/userquota-{QUEUE}"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    words, options = container["args"][:2], [each.partition("=")[0] for each in container["args"][2:]]
    assert (words, options) == (["commitments", "confirm"], ["--waiting", "--every"])
    assert set(options) <= {name for option in confirm.params for name in option.opts}
    assert not {"volumes", "volumeMounts"} & {*pod, *container}
