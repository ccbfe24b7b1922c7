"""`userquota get --drift`: the ledger as it lies in a real cluster, and what became of what it holds."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.controlplane import ControlPlane
from tests.cli.running import Ended, userquota
from tests.kube.test_object_list import create_pod
from tests.kubeconfigs import kubeconfig, written
from webhook.ledger.codec import FORMAT, write_ledger
from webhook.ledger.protocol import Ledger
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import CREATED, Reservation
from webhook.quota.subject import Payer

pytestmark = pytest.mark.slow

STAMP = {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"}
ALICE = Payer("alice", ("ml",))
COST = (("gpu", 2 * 10**9), ("requests.memory", 2**30 * 10**9))


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    ended = userquota("get", "--drift", "--kubeconfig", written(kubeconfig(), tmp_path), folder=tmp_path)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("userquota: the webhook configurations could not be read: ")
    assert "127.0.0.1:1" in ended.err


@dataclass(frozen=True)
class Installed:
    """A cluster with a namespace for pods and one for the ledger, which a test writes."""

    cluster: ControlPlane
    folder: Path
    home: str
    work: str

    def get(self, *options: str) -> Ended:
        kubeconfig = self.cluster.kubeconfig()
        return userquota(
            "get", "--drift", "--kubeconfig", kubeconfig, "--namespace", self.home, *options, folder=self.folder
        )

    def get_json(self, *, code: int) -> dict[str, Any]:
        ended = self.get("-o", "json")
        assert (ended.code, ended.err) == (code, "")
        found: dict[str, Any] = json.loads(ended.out)
        return found

    def write(self, text: str) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "userquota-ledger"}}
        manifest = json.dumps({**body, "data": {"ledger": text}})
        self.cluster.kubectl("apply", "-n", self.home, "-f", "-", stdin=manifest)

    def write_ledger(self, *reservations: Reservation) -> None:
        if not self.uid():
            self.write("")
        held = {f"token-{number}": each for number, each in enumerate(reservations)}
        ledger = Ledger("e", is_open=True, write=3, settled_through={"pods": 7}, reservations=held)
        self.write(write_ledger(ledger, uid=self.uid()))

    def uid(self) -> str:
        asked = ("get", "configmap", "userquota-ledger", "-n", self.home, "--ignore-not-found")
        return self.cluster.kubectl(*asked, "-o", "jsonpath={.metadata.uid}").stdout

    def reservation(self, name: str, uid: str, base: int = CREATED) -> Reservation:
        return Reservation(ObjectKey("pods", self.work, name), uid, base, ALICE, COST)

    def pod(self, name: str, annotations: dict[str, str] | None = None) -> str:
        """Create a pod of alice's, unless *annotations* say otherwise; give its uid."""
        made = create_pod(self.cluster, self.work, name, STAMP if annotations is None else annotations)
        return made["metadata"]["uid"]


@pytest.fixture
def installed(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Installed]:
    home = f"userquota-{secrets.token_hex(4)}"
    control_plane.kubectl("create", "namespace", home)
    yield Installed(control_plane, tmp_path, home, namespace)
    control_plane.kubectl("delete", "namespace", home, "--wait=false")


def test_without_a_ledger_the_answer_is_no(installed: Installed) -> None:
    assert installed.get_json(code=1)["ledger"] == {"condition": "absent"}


def test_what_is_in_flight_is_listed_with_what_became_of_it(installed: Installed) -> None:
    installed.pod("taken")
    installed.write_ledger(
        installed.reservation("coming", "u1"),
        installed.reservation("taken", "u2"),
        installed.reservation("taken", ""),
        installed.reservation("growing", "u3", base=5),
    )

    found = installed.get_json(code=0)

    assert found["ledger"] == {"condition": "ok", "write": 3, "settledThrough": {"pods": 7}}
    assert found["reservations"][0] == {
        "owner": "alice",
        "resource": "pods",
        "namespace": installed.work,
        "name": "coming",
        "uid": "u1",
        "base": 0,
        "amounts": {"gpu": "2", "requests.memory": "1Gi"},
        "state": "in flight",
        "late": False,
    }
    assert [each["state"] for each in found["reservations"]] == [
        "in flight",
        "another object has the name",
        "one of several creates may be stored",
        "in flight",
    ]


def test_what_is_stored_and_not_settled_within_five_seconds_makes_the_answer_no(installed: Installed) -> None:
    installed.write_ledger(installed.reservation("stored", installed.pod("stored")))

    [held] = installed.get_json(code=1)["reservations"]

    assert (held["state"], held["late"]) == ("stored", True)


def test_what_is_settled_within_five_seconds_is_fine(installed: Installed) -> None:
    installed.write_ledger(installed.reservation("stored", installed.pod("stored")))
    settling = threading.Timer(2, installed.write_ledger)  # the command looks a second after its start, and then again
    settling.start()

    found = installed.get_json(code=0)

    settling.join()
    assert found["reservations"] == []


NEWER = f"userquota-ledger {FORMAT + 1} sha256=0\n{{}}\n"
BAD = {
    "damaged": ("userquota-ledger 2 sha256=0\n{}\n", "damaged: its checksum is wrong"),
    "of a newer format": (NEWER, f"newer format: it has format {FORMAT + 1}; this version knows {FORMAT}"),
    "being rebuilt": (write_ledger(Ledger.rebuilding("e"), uid=""), "rebuilding"),
}


@pytest.mark.parametrize(("text", "condition"), BAD.values(), ids=BAD.keys())
def test_a_ledger_that_cannot_be_used_makes_the_answer_no(installed: Installed, text: str, condition: str) -> None:
    installed.write(text)
    assert installed.get_json(code=1)["ledger"]["condition"] == condition


def test_pods_without_a_stamp_are_listed_and_are_not_wrong(installed: Installed) -> None:
    installed.write_ledger()
    uid = installed.pod("past-us", annotations={})
    installed.pod("ours")

    listed = installed.get_json(code=0)["withoutStamp"]

    here = [each for each in listed if each["namespace"] == installed.work]
    assert here == [{"resource": "pods", "namespace": installed.work, "name": "past-us", "uid": uid}]


def test_people_get_tables_and_yaml(installed: Installed) -> None:
    installed.write_ledger(installed.reservation("coming", "u1"), installed.reservation("coming", "", base=CREATED))
    installed.pod("past-us", annotations={})

    table = installed.get()
    document = installed.get("-o", "yaml")

    lines = [line.split() for line in table.out.splitlines()]
    assert (table.code, document.code) == (0, 0)
    assert lines[:4] == [
        ["LEDGER", "ok"],
        ["WRITE", "3"],
        ["SETTLED", "THROUGH", "pods", "7"],
        ["RESERVATIONS", "2"],
    ]
    assert lines[6] == ["OWNER", "RESOURCE", "NAMESPACE", "NAME", "UID", "BASE", "AMOUNTS", "STATE"]
    amounts = "gpu=2,requests.memory=1Gi"
    assert lines[7] == ["alice", "pods", installed.work, "coming", "u1", "0", amounts, "in", "flight"]
    assert lines[8][4] == "any"
    assert ["pods", installed.work, "past-us"] in lines
    assert yaml.safe_load(document.out)["ledger"]["condition"] == "ok"


def test_what_nobody_owns_is_listed_with_what_it_was_made_for(installed: Installed) -> None:
    kubectl = installed.cluster.kubectl
    kubectl("create", "deployment", "older", "--image=x", "-n", installed.work)
    kubectl("wait", "--for=jsonpath={.status.replicas}=1", "deployment/older", "--timeout=30s", "-n", installed.work)
    create_pod(installed.cluster, installed.work, "owned", STAMP)
    create_pod(installed.cluster, installed.work, "bare", {})
    config = ("--kubeconfig", installed.cluster.kubeconfig(), "--namespace", installed.home)

    table = userquota("get", "--unattributed", *config, folder=installed.folder)
    listed = userquota("get", "--unattributed", "-o", "json", *config, folder=installed.folder)

    assert (table.code, table.err) == (0, "")
    assert table.out.startswith("RESOURCE ")
    here = [each for each in json.loads(listed.out) if each["namespace"] == installed.work]
    found = [(each["resource"], each["name"].rpartition("-")[0] or each["name"], each["madeFor"]) for each in here]
    replica_set = next(each["name"] for each in here if each["resource"] == "replicasets.apps")
    assert found == [
        ("deployments.apps", "older", ""),
        ("pods", "bare", ""),
        ("pods", replica_set, "Deployment older"),
        ("replicasets.apps", "older", "Deployment older"),
    ]
