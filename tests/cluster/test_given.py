"""What `make kind-test` adds to the tests: the administrator acts as the people, by kubectl alone."""

from __future__ import annotations

import pytest

from localcluster.errors import LocalClusterError
from tests.cluster.given import GivenCluster
from tests.cluster.running import RunningWebhook, pod


def test_people_are_charged_where_the_administrator_acts_as_them(running: RunningWebhook, place: str) -> None:
    running.set_policy("version: 1\ngroups: {ml: {perMember: {hard: {pods: 1}}}}\n")
    given = GivenCluster(running.cluster.kubeconfig(), kubectl=running.cluster.access.kubectl_binary)
    for name, answer in (("first", "pod/first created\n"), ("second", "exceeded quota: groups.ml.perMember")):
        said = given.kubectl("create", "-n", place, "-f", "-", user="alice", stdin=pod(name), check=False)
        assert answer in said.stdout + said.stderr
    owner = "jsonpath={.metadata.annotations.userquota\\.dev/owner}"
    assert given.kubectl("get", "pod", "first", "-n", place, "-o", owner).stdout == "alice"


def test_what_needs_more_than_kubectl_ends_with_an_error(running: RunningWebhook) -> None:
    given = GivenCluster(running.cluster.kubeconfig())
    with pytest.raises(LocalClusterError):
        given.restart("kube-apiserver-1")
