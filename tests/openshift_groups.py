"""OpenShift's kind of Group, installed into a real cluster that has none."""

from __future__ import annotations

import json

from localcluster.controlplane import ControlPlane

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "groups.user.openshift.io"},
    "spec": {
        "group": "user.openshift.io",
        "names": {"kind": "Group", "plural": "groups"},
        "scope": "Cluster",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["users"],
                        "properties": {
                            "users": {
                                "type": "array",
                                "nullable": True,
                                "items": {"type": "string", "nullable": True},
                            }
                        },
                    }
                },
            }
        ],
    },
}


class Groups:
    """The Groups of *cluster*."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._kubectl = cluster.kubectl

    def define(self) -> None:
        self._kubectl("apply", "-f", "-", stdin=json.dumps(DEFINITION))
        self._kubectl("wait", "--for=condition=Established", "crd/groups.user.openshift.io")

    def remove_definition(self) -> None:
        self._kubectl("delete", "crd", "groups.user.openshift.io", "--ignore-not-found")

    def put(self, name: str, users: list[str | None] | None) -> None:
        body = {"apiVersion": "user.openshift.io/v1", "kind": "Group", "metadata": {"name": name}, "users": users}
        is_there = self._kubectl("get", "groups.user.openshift.io", name, "--ignore-not-found").stdout != ""
        self._kubectl("replace" if is_there else "create", "-f", "-", stdin=json.dumps(body))

    def delete(self, *names: str) -> None:
        self._kubectl("delete", "groups.user.openshift.io", *(names or ("--all",)))
