"""`userquota adopt` on a real API server: everything moves, or nothing does, and who may not is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.running import Ended, userquota
from tests.cluster.people import Person
from tests.cluster.platforms import NOTEBOOKS, makes_pods, set_policy
from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_handing_over import ROLE
from tests.cluster.test_who_pays import OWNER, get, run
from tests.kubeconfigs import with_user

ATTRIBUTION = Path(__file__).parents[2] / "docs/attribution.md"
POLICY = "version: 1\ndefaults: {user: {hard: {pods: 10, cpu: 2}}}\n"


class Adopting:
    """The command in the namespace of one test."""

    def __init__(self, running: RunningWebhook, place: str, folder: Path) -> None:
        self.running = running
        self.place = place
        self._folder = folder

    def adopt(self, *words: str, by: str = "admin") -> Ended:
        kubeconfig = ("--kubeconfig", self.running.cluster.kubeconfig(by))
        return userquota("adopt", *words, "-n", self.place, *kubeconfig, folder=self._folder)

    def states(self, *words: str, code: int = 0, by: str = "admin") -> dict[str, str]:
        """Return the state of each object by its kind and name, with the reason."""
        ended = self.adopt(*words, "-o", "json", by=by)
        assert (ended.code, ended.err) == (code, ""), ended
        items = json.loads(ended.out)["items"]
        assert {each["namespace"] for each in items} == {self.place}
        return {
            f"{each['resource'].partition('.')[0]}/{each['name']}": " ".join([each["state"], each.get("reason", "")])
            for each in items
        }

    def deployment(self, name: str, replicas: int, *, user: str, cpu: str = "500m") -> None:
        container = {"name": "main", "image": "example/x", "resources": {"requests": {"cpu": cpu}}}
        labels = {"app": name}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        }
        manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
        made = run(self.running, self.place, "create", "-f", "-", user=user, stdin=json.dumps(manifest))
        assert " created\n" in made, made
        before = f"{name}-"
        eventually(
            lambda: sum(each.startswith(f"pods/{before}") for each in self.owners()) == replicas,
            what=lambda: str(self.owners()),
        )

    def owners(self) -> dict[str, str]:
        """Return the owner of each object by its kind and name, empty if there is none."""
        kinds = "pods,deployments,replicasets,statefulsets,persistentvolumeclaims"
        found = self.running.cluster.kubectl("get", kinds, "-n", self.place, "-o", "json").stdout
        return {
            f"{each['kind'].lower()}s/{each['metadata']['name']}": each["metadata"]
            .get("annotations", {})
            .get(OWNER, "")
            for each in json.loads(found)["items"]
        }


@pytest.fixture
def adopting(running: RunningWebhook, place: str, tmp_path: Path) -> Adopting:
    running.set_policy(POLICY)
    return Adopting(running, place, tmp_path)


def test_a_deployment_its_replicaset_and_pods_have_another_owner_by_one_command(adopting: Adopting) -> None:
    adopting.deployment("web", 3, user="alice")
    adopting.deployment("other", 1, user="alice", cpu="100m")

    tried = adopting.states("deployment/web", "--to", "bob", "--dry-run")
    assert len(tried) == 5
    assert set(tried.values()) == {"would move "}
    assert set(adopting.owners().values()) == {"alice"}

    ended = adopting.adopt("Deployment.apps/web", "--to", "bob", "--groups", '["ml"]')

    assert (ended.code, ended.err) == (0, "")
    heads, *rows = [line.split() for line in ended.out.splitlines()]
    assert heads == ["RESOURCE", "NAMESPACE", "NAME", "FROM", "TO", "STATE"]
    assert [row[0] for row in rows] == ["pods"] * 3 + ["deployments.apps", "replicasets.apps"]
    assert {tuple(row[3:]) for row in rows} == {("alice", "bob", "moved")}
    owners = adopting.owners()
    assert {owners[each] for each in owners if "/web" in each} == {"bob"}
    assert {owners[each] for each in owners if "/other" in each} == {"alice"}
    stamp = get(adopting.running, adopting.place, "deployment", "web")["metadata"]["annotations"]
    assert json.loads(stamp["userquota.dev/groups"]) == ["ml"]
    assert adopting.adopt("deployment/web", "--to", "bob") == Ended(0, "", "nothing to do\n")


def test_where_one_object_does_not_fit_nothing_is_changed(adopting: Adopting) -> None:
    adopting.deployment("web", 3, user="alice")
    run(adopting.running, adopting.place, "create", "-f", "-", user="bob", stdin=pod("his", cpu="1800m"))
    before = adopting.owners()

    states = adopting.states("deployments/web", "--to", "bob", code=1)

    refused = {name: state for name, state in states.items() if name.startswith("pods/")}
    assert len(refused) == 3
    for state in refused.values():
        assert state.startswith("refused exceeded quota: defaults.user, requested: requests.cpu=500m")
        assert "charged to bob (handed over by " in state  # the end of a long message
    assert {state for name, state in states.items() if name not in refused} == {"not moved "}
    assert adopting.owners() == before


def test_what_does_not_fit_together_is_handed_back(adopting: Adopting) -> None:
    """Each of the pods fits by itself, so that only the second one is refused, when the first has moved."""
    adopting.deployment("web", 3, user="alice")
    run(adopting.running, adopting.place, "create", "-f", "-", user="bob", stdin=pod("his", cpu="1"))
    stamps = {
        name: get(adopting.running, adopting.place, "pod", name)["metadata"]["annotations"] for name in pods(adopting)
    }
    before = adopting.owners()
    assert set(adopting.states("deployment/web", "--to", "bob", "--dry-run").values()) == {"would move "}

    states = adopting.states("deployment/web", "--to", "bob", code=1)

    told = sorted(state.partition(":")[0] for state in states.values())
    assert told == ["handed back ", "handed back ", "not moved ", "not moved ", "refused exceeded quota"]
    assert adopting.owners() == before
    assert stamps == {
        name: get(adopting.running, adopting.place, "pod", name)["metadata"]["annotations"] for name in stamps
    }


def pods(adopting: Adopting) -> list[str]:
    return [name.removeprefix("pods/") for name in adopting.owners() if name.startswith("pods/web")]


def test_all_that_a_leaver_owns_goes_to_a_colleague(adopting: Adopting) -> None:
    adopting.deployment("web", 1, user="carol", cpu="100m")
    adopting.deployment("api", 1, user="carol", cpu="100m")
    adopting.deployment("alices", 1, user="alice", cpu="100m")
    run(adopting.running, adopting.place, "create", "-f", "-", user="carol", stdin=pod("alone"))

    states = adopting.states("--all-of", "carol", "--to", "bob")

    assert len(states) == 7
    assert set(states.values()) == {"moved "}
    owners = adopting.owners()
    assert sorted(owners.values()) == ["alice"] * 3 + ["bob"] * 7
    assert owners["deployments/alices"] == "alice"
    run(adopting.running, adopting.place, "scale", "deployment", "web", "--replicas=2", user="bob")
    eventually(lambda: list(adopting.owners().values()).count("bob") == 8)


def test_a_stateful_set_takes_its_claims_along(adopting: Adopting) -> None:
    spec = {
        "serviceName": "db",
        "replicas": 1,
        "selector": {"matchLabels": {"app": "db"}},
        "template": {
            "metadata": {"labels": {"app": "db"}},
            "spec": {"containers": [{"name": "main", "image": "example/x"}]},
        },
        "volumeClaimTemplates": [
            {
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }
        ],
    }
    manifest = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec}
    run(adopting.running, adopting.place, "create", "-f", "-", user="alice", stdin=json.dumps(manifest))
    eventually(lambda: len(adopting.owners()) == 3, what=lambda: str(adopting.owners()))

    states = adopting.states("statefulset/db", "--to", "bob")

    assert states == dict.fromkeys(["persistentvolumeclaims/data-db-0", "pods/db-0", "statefulsets/db"], "moved ")
    assert set(adopting.owners().values()) == {"bob"}


def test_a_person_without_the_right_changes_nothing(adopting: Adopting) -> None:
    adopting.deployment("web", 1, user="alice")
    before = adopting.owners()

    states = adopting.states("deployment/web", "--to", "bob", code=1, by="bob")

    why = "bob may not hand objects over to bob: that takes the verb adopt on owners.userquota.dev"
    assert set(states.values()) == {f"refused {why}"}
    assert adopting.owners() == before

    adopting.running.cluster.kubectl("create", "-n", adopting.place, "-f", "-", stdin=ROLE)
    bind = ("create", "rolebinding", "adopter", "-n", adopting.place, "--role=adopter", "--user=bob")
    adopting.running.cluster.kubectl(*bind)
    eventually(lambda: adopting.adopt("deployment/web", "--to", "bob", by="bob").code == 0)
    assert set(adopting.owners().values()) == {"bob"}


@pytest.fixture
def older(adopting: Adopting) -> str:
    """A Deployment with a ReplicaSet and a pod that are older than the installation."""
    running, place = adopting.running, adopting.place
    probe = ("create", "-f", "-", "--dry-run=server", "-o", "json")
    running.stop()
    running.uninstall()
    try:
        eventually(lambda: OWNER not in run(running, place, *probe, user="alice", stdin=pod("probe")))
        adopting.deployment("old", 1, user="alice")
    finally:
        running.start()
        running.wait_until_ready()
    eventually(lambda: OWNER in run(running, place, *probe, user="alice", stdin=pod("probe")))
    return "old"


def test_what_nobody_owns_gets_an_owner(adopting: Adopting, older: str) -> None:
    adopting.deployment("web", 1, user="alice")
    assert sorted(adopting.owners().values()) == ["", "", "", "alice", "alice", "alice"]
    assert len(adopting.states("--all-of", "alice", "--to", "bob", "--dry-run")) == 3

    states = adopting.states("--all-of", "system:unattributed", "--to", "bob")

    assert sorted(states.values()) == ["moved "] * 3
    assert all(older in name for name in states)
    assert sorted(adopting.owners().values()) == ["alice", "alice", "alice", "bob", "bob", "bob"]
    assert adopting.adopt("--all-of", "system:unattributed", "--to", "bob").err == "nothing to do\n"


def test_with_a_workload_moves_what_nobody_owns_below_it_and_not_what_somebody_else_does(
    adopting: Adopting, older: str
) -> None:
    running, place = adopting.running, adopting.place
    [theirs] = [name for name in adopting.owners() if name.startswith("pods/old")]
    by_hand = ("--overwrite", "--field-manager=userquota-adopt")
    assert " annotated" in run(running, place, "annotate", *by_hand, theirs, f"{OWNER}=carol", user="admin")

    ended = adopting.adopt("deployment/old", "--to", "bob")

    assert ended.code == 0
    assert [line.split()[3:] for line in ended.out.splitlines()[1:]] == [
        ["system:unattributed", "bob", "moved"],
        ["system:unattributed", "bob", "moved"],
        ["carol", "carol", "left:", "owner", "carol"],
    ]
    assert sorted(adopting.owners().values()) == ["bob", "bob", "carol"]


def test_the_role_of_the_documentation_is_enough(adopting: Adopting, tmp_path: Path) -> None:
    running, place = adopting.running, adopting.place
    adopting.deployment("web", 1, user="alice")
    [role] = re.findall(r"```yaml\n(apiVersion[^`]*kind: ClusterRole\n.*?)```", ATTRIBUTION.read_text(), re.DOTALL)
    for words in (
        ("create", "-f", "-"),
        ("create", "serviceaccount", "adopter", "-n", place),
        (
            "create",
            "rolebinding",
            "adopter",
            "-n",
            place,
            "--clusterrole=userquota-adopter",
            f"--serviceaccount={place}:adopter",
        ),
    ):
        running.cluster.kubectl(*words, stdin=role if words[0:2] == ("create", "-f") else None)
    token = running.cluster.kubectl("create", "token", "adopter", "-n", place).stdout.strip()
    kubeconfig = with_user(running.cluster.kubeconfig(), tmp_path, {"token": token})

    ended = userquota(
        "adopt", "--all-of", "alice", "--to", "bob", "-n", place, "--kubeconfig", kubeconfig, folder=tmp_path
    )

    running.cluster.kubectl("delete", "clusterrole", "userquota-adopter")
    assert (ended.code, ended.err) == (0, "")
    assert set(adopting.owners().values()) == {"bob"}


def test_all_namespaces_are_looked_through_but_exempt_ones(adopting: Adopting, tmp_path: Path) -> None:
    running, place = adopting.running, adopting.place
    leaver = Person(running, place, f"leaver-{place}")
    assert " created" in leaver.create(pod("hers"))
    kubeconfig = running.cluster.kubeconfig()

    def adopt(*words: str) -> Ended:
        return userquota("adopt", *words, "--to", "bob", "--kubeconfig", kubeconfig, folder=tmp_path)

    assert adopt("--all-of", leaver.name) == Ended(0, "", "nothing to do\n")  # in the namespace of the kubeconfig
    moved = adopt("--all-of", leaver.name, "-A")
    assert (moved.code, moved.out.splitlines()[1].split()) == (0, ["pods", place, "hers", leaver.name, "bob", "moved"])
    exempt = "userquota: nobody pays for what is in namespace kube-system: it is exempt\n"
    assert adopt("pod/a", "-n", "kube-system") == Ended(2, "", exempt)
    absent = f"userquota: deployments.apps web does not exist in namespace {place}\n"
    assert adopt("deployment/web", "-n", place) == Ended(2, "", absent)


@pytest.mark.usefixtures("platforms")
def test_a_session_moves_with_what_its_platform_made_for_it(adopting: Adopting) -> None:
    running, place = adopting.running, adopting.place
    set_policy(running, f"{POLICY}sessions: {{presets: PRESETS}}\n", NOTEBOOKS)
    container = {"name": "main", "image": "example/x", "resources": {"requests": {"cpu": "500m"}}}
    spec = {"template": {"spec": {"containers": [container]}}}
    made = run(running, place, "create", "-f", "-", user="alice", stdin=NOTEBOOKS.object("lab", spec))
    assert " created\n" in made, made
    makes_pods(running, place, NOTEBOOKS, "lab", template=spec["template"]["spec"], labels={"notebook-name": "lab"})
    eventually(lambda: "pods/lab-0" in adopting.owners())

    states = adopting.states("notebook/lab", "--to", "bob")

    assert states == {"pods/lab-0": "moved ", "notebooks/lab": "moved ", "statefulsets/lab": "moved "}
    assert set(adopting.owners().values()) == {"bob"}
    assert get(running, place, NOTEBOOKS.resource, "lab")["metadata"]["annotations"][OWNER] == "bob"
    assert set(adopting.states("--all-of", "bob", "--to", "carol").values()) == {"moved "}

    unknown = adopting.adopt("widgets.example.com/a", "--to", "bob")
    assert (unknown.code, unknown.err) == (2, "userquota: widgets.example.com: the API serves no such kind\n")
