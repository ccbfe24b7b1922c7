"""What a person may do, as a real API server says, and what is no answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localcluster.controlplane import ControlPlane
from tests.kube.scripted import server, stream
from tests.kubeconfigs import connected
from webhook.kube.access import CallersRights, HandoverRights, Right, may
from webhook.ports import Caller, UnavailableError
from webhook.quota.objects import UserInfo

RIGHTS = {
    Right("list", "pods"): True,
    Right("list", "deployments.apps"): True,
    Right("delete", "pods"): True,
    Right("list", "deviceclasses.resource.k8s.io"): False,
    Right("list", "deployments"): False,
    Right("list", "leases.coordination.k8s.io", "kube-system"): False,
}


async def test_a_person_may_what_the_roles_say(control_plane: ControlPlane) -> None:
    async with connected(control_plane.kubeconfig("alice")) as alice:
        assert {right: await may(alice, right) for right in RIGHTS} == RIGHTS
    async with connected(control_plane.kubeconfig()) as admin:
        assert [right for right in RIGHTS if not await may(admin, right)] == []


@pytest.mark.parametrize("answer", [b"{}", b"[]"])
async def test_an_answer_without_a_status_is_no_answer(answer: bytes, tmp_path: Path) -> None:
    async with server([stream(answer)], tmp_path) as (api, _):
        with pytest.raises(UnavailableError, match="whether we may list pods in the whole cluster could not be asked"):
            await may(api, Right("list", "pods"))


async def test_who_may_hand_over_is_what_the_roles_say(control_plane: ControlPlane) -> None:
    async with connected(control_plane.kubeconfig()) as api:
        rights = HandoverRights(api)
        assert await rights.may_hand_over(UserInfo("root", ("system:masters",)), "default", "bob")
        assert not await rights.may_hand_over(UserInfo("root"), "default", "bob")


async def test_a_subresource_is_asked_for_as_one(control_plane: ControlPlane) -> None:
    """RBAC takes a resource with a slash for the same as a subresource, but where a rule is on that of any resource."""
    kubectl = control_plane.kubectl
    kubectl("create", "clusterrole", "resizer", "--verb=update", "--resource=pods")
    rules = [{"apiGroups": ["example.com"], "resources": ["*/quota"], "verbs": ["update"]}]
    kubectl("patch", "clusterrole", "resizer", "--type=merge", "-p", json.dumps({"rules": rules}))
    kubectl("create", "clusterrolebinding", "resizer", "--clusterrole=resizer", "--user=limes")
    async with connected(control_plane.kubeconfig()) as api:
        rights, limes = CallersRights(api), Caller("limes")
        allowed = [
            await rights.may(limes, "update", f"{name}.example.com", name="p-1")
            for name in ("projects/quota", "projects/usage", "projects")
        ]
    kubectl("delete", "clusterrole,clusterrolebinding", "resizer")

    assert allowed == [True, False, False]


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"status": {"allowed": "yes"}}'])
async def test_without_an_answer_nobody_hands_over(answer: bytes, tmp_path: Path) -> None:
    async with server([stream(answer)], tmp_path) as (api, _):
        with pytest.raises(UnavailableError, match="whether alice may hand over could not be asked"):
            await HandoverRights(api).may_hand_over(UserInfo("alice"), "red", "bob")
