"""
What the table of features says of the version of the control plane is what its API server does.

A feature has to be there from its version on, and to be lacking below. `make matrix` asks each minor that is pinned.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from localcluster.build import GO_MODULE
from localcluster.controlplane import ControlPlane
from localcluster.versions import pin_of
from tests.cluster.running import eventually
from webhook.doctor.features import FEATURES, Feature
from webhook.registration import manifest_files

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "asked", "namespace": "default"},
    "spec": {"automountServiceAccountToken": False, "containers": [{"name": "main", "image": "example.com/x"}]},
}
CLAIM: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "asked", "namespace": "default"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "volumeAttributesClassName": "gold",
    },
}


def kept(cluster: ControlPlane, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a server would store of *manifest*, without the fields that it does not know or has switched off."""
    answer = cluster.kubectl(
        "create", "--dry-run=server", "--validate=ignore", "-o", "json", "-f", "-", stdin=json.dumps(manifest)
    )
    stored: dict[str, Any] = json.loads(answer.stdout)
    return stored


def resources_of(cluster: ControlPlane, version: str) -> set[str]:
    """Return the resources of a group and version; none where it is not served."""
    answer = cluster.kubectl("get", "--raw", version, check=False)
    if answer.returncode:
        assert "NotFound" in answer.stderr, answer.stderr
        return set()
    return {each["name"] for each in json.loads(answer.stdout)["resources"]}


def manifests(cluster: ControlPlane) -> bool:
    stored = [kept(cluster, each) for each in manifest_files.webhook_configurations()]
    return all("matchConditions" in webhook for each in stored for webhook in each["webhooks"])


def sleep_before_stop(cluster: ControlPlane) -> bool:
    container = POD["spec"]["containers"][0] | {"lifecycle": {"preStop": {"sleep": {"seconds": 3}}}}
    stored = kept(cluster, POD | {"spec": POD["spec"] | {"containers": [container]}})
    return "sleep" in stored["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {})


def resizes(cluster: ControlPlane) -> bool:
    return "pods/resize" in resources_of(cluster, "/api/v1")


def resources_of_pods(cluster: ControlPlane) -> bool:
    stored = kept(cluster, POD | {"spec": POD["spec"] | {"resources": {"requests": {"cpu": "1"}}}})
    return "resources" in stored["spec"]


def resource_claims(cluster: ControlPlane) -> bool:
    return "resourceclaims" in resources_of(cluster, "/apis/resource.k8s.io/v1")


def attributes_of_volumes(cluster: ControlPlane) -> bool:
    return "volumeAttributesClassName" in kept(cluster, CLAIM)["spec"]


def resizes_in_all(cluster: ControlPlane) -> bool:
    name = f"asked-{secrets.token_hex(4)}"
    spec = POD["spec"] | {"resources": {"requests": {"cpu": "1"}}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(POD | {"metadata": {"name": name}, "spec": spec}))
    patch = json.dumps({"spec": {"resources": {"requests": {"cpu": "2"}}}})
    answer = cluster.kubectl("patch", "pod", name, "--subresource=resize", "-p", patch, check=False)
    cluster.kubectl("delete", "pod", name, "--force", "--grace-period=0")
    if answer.returncode:
        assert "resize of pods with pod-level resources is forbidden" in answer.stderr, answer.stderr
    return answer.returncode == 0


def names_of_devices(cluster: ControlPlane) -> bool:
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "asked"}}
    if "deviceclasses" not in resources_of(cluster, "/apis/resource.k8s.io/v1"):
        return False
    return (
        "extendedResourceName" in kept(cluster, body | {"spec": {"extendedResourceName": "example.com/asked"}})["spec"]
    )


def mutating_policies(cluster: ControlPlane) -> bool:
    return "mutatingadmissionpolicies" in resources_of(cluster, "/apis/admissionregistration.k8s.io/v1")


def sum_while_trading(cluster: ControlPlane) -> bool:
    """Two containers of 3 and 1 cpu are to have 1 and 3, and have not yet: that is 4, or 6 if each counts its most."""
    name = f"trading-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    wanted = {"one": "1", "other": "3"}
    containers = [{"name": each, "image": "x", "resources": {"requests": {"cpu": cpu}}} for each, cpu in wanted.items()]
    spec = {"automountServiceAccountToken": False, "containers": containers}
    cluster.kubectl("create", "-n", name, "-f", "-", stdin=json.dumps(POD | {"metadata": {"name": name}, "spec": spec}))
    has = {"one": {"cpu": "3"}, "other": {"cpu": "1"}}
    common = {"image": "x", "imageID": "x", "ready": True, "restartCount": 0}
    statuses = [
        {**common, "name": each, "allocatedResources": cpu, "resources": {"requests": cpu}} for each, cpu in has.items()
    ]
    patch = json.dumps({"status": {"phase": "Running", "containerStatuses": statuses}})
    cluster.kubectl("patch", "pod", name, "-n", name, "--subresource=status", "--type=merge", "-p", patch)
    cluster.kubectl("create", "quota", name, "-n", name, "--hard=requests.cpu=99")
    query = "jsonpath={.status.used.requests\\.cpu}"

    def used() -> str:
        return cluster.kubectl("get", "quota", name, "-n", name, "-o", query).stdout

    eventually(lambda: used() in {"4", "6"}, what=used)
    answer = used()
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    return answer == "4"


HAS: dict[str, Callable[[ControlPlane], bool]] = {
    "the manifests": manifests,
    "`lifecycle.preStop.sleep` of our pods": sleep_before_stop,
    "resizes of running pods": resizes,
    "resources of whole pods": resources_of_pods,
    "ResourceClaims": resource_claims,
    "changes of a VolumeAttributesClass": attributes_of_volumes,
    "resizes of pods with resources of their own": resizes_in_all,
    "`extendedResourceName` of a DeviceClass": names_of_devices,
    "MutatingAdmissionPolicies beside us": mutating_policies,
    "the sums of ResourceQuota during resizes": sum_while_trading,
}


def version_of(cluster: ControlPlane) -> str:
    version: str = json.loads(cluster.kubectl("get", "--raw", "/version").stdout)["gitVersion"]
    return version


@pytest.mark.skipif("KUBEBUILDER_ASSETS" in os.environ, reason="somebody else's API server may have any version")
def test_the_server_has_the_version_that_was_asked_for(control_plane: ControlPlane) -> None:
    assert version_of(control_plane) == pin_of(GO_MODULE, os.environ.get("KUBERNETES")).version


def test_every_feature_is_asked_for() -> None:
    assert list(HAS) == [each.name for each in FEATURES]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda each: each.name)
def test_a_feature_is_there_from_its_version_on_and_not_below(control_plane: ControlPlane, feature: Feature) -> None:
    major, minor = version_of(control_plane).removeprefix("v").split(".")[:2]
    has_to_be_there = (int(major), int(minor)) >= feature.needed

    assert HAS[feature.name](control_plane) == has_to_be_there
