"""The control plane that all other cluster tests rely on."""

import json
import time
from pathlib import Path

import pytest

from localcluster.binaries import Binaries
from localcluster.controlplane import ControlPlane
from localcluster.errors import BinariesMissingError, KubectlError, LocalClusterError, ProcessError
from localcluster.plan import Options

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  containers:
  - {name: main, image: example.com/none, resources: {requests: {cpu: 100m}}}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: example.com/none}]}
"""


def creators(log: Path, namespace: str, resource: str) -> set[str]:
    """Return the users that created objects of *resource* in *namespace*, by an audit log."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return {
        event["user"]["username"]
        for event in events
        if event["verb"] == "create"
        and event["objectRef"].get("namespace") == namespace
        and event["objectRef"]["resource"] == resource
    }


def wait_for_pods(control_plane: ControlPlane, namespace: str, count: int) -> None:
    deadline = time.monotonic() + 20
    pods: list[str] = []
    while len(pods) < count:
        assert time.monotonic() < deadline, f"only these pods are there: {pods}"
        time.sleep(0.1)
        pods = control_plane.kubectl("get", "pods", "--output=name", "-n", namespace).stdout.split()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("user", "groups"),
    [
        pytest.param("admin", {"system:masters"}, id="the admin"),
        pytest.param("alice", {"ml", "staff", "people"}, id="alice"),
        pytest.param("bob", {"ml", "people"}, id="bob"),
        pytest.param("carol", {"staff", "people"}, id="carol"),
        pytest.param("dave", {"people"}, id="dave"),
        pytest.param("erin", {"people"}, id="erin"),
    ],
)
def test_a_user_is_known_by_name_and_groups(control_plane: ControlPlane, user: str, groups: set[str]) -> None:
    answer = json.loads(control_plane.kubectl("auth", "whoami", "--output=json", user=user).stdout)

    assert answer["status"]["userInfo"]["username"] == user
    assert set(answer["status"]["userInfo"]["groups"]) == groups | {"system:authenticated"}


def test_the_servers_say_which_version_they_are(control_plane: ControlPlane) -> None:
    answer = json.loads(control_plane.kubectl("version", "--output=json").stdout)

    assert answer["clientVersion"]["gitVersion"] == answer["serverVersion"]["gitVersion"] != "v0.0.0-master+$Format:%H$"


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        pytest.param("create", "pods", True, id="create pods"),
        pytest.param("update", "pods/resize", True, id="resize pods"),
        pytest.param("patch", "deployments.apps/scale", True, id="scale deployments"),
        pytest.param("delete", "jobs.batch", True, id="delete jobs"),
        pytest.param("create", "persistentvolumeclaims", True, id="create claims"),
        pytest.param("patch", "pods/status", False, id="not set the status of pods"),
        pytest.param("get", "secrets", False, id="not read secrets"),
        pytest.param("create", "namespaces", False, id="not create namespaces"),
    ],
)
def test_people_may(control_plane: ControlPlane, verb: str, resource: str, allowed: bool) -> None:
    name, _, subresource = resource.partition("/")
    answer = control_plane.kubectl(
        "auth", "can-i", verb, name, f"--subresource={subresource}", "-n", "default", user="erin", check=False
    )

    assert answer.stdout.strip() == ("yes" if allowed else "no"), answer.stderr


def test_people_create_pods_in_a_fresh_namespace(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "-f-", "-n", namespace, stdin=POD.replace("NAME", "mine"), user="alice")

    answer = control_plane.kubectl("get", "pod", "mine", "-n", namespace, "--output=json", user="bob")
    pod = json.loads(answer.stdout)
    assert pod["status"]["phase"] == "Pending"
    assert pod["spec"]["serviceAccountName"] == "default"


def test_an_unknown_user_is_refused_with_the_known_ones(control_plane: ControlPlane) -> None:
    with pytest.raises(LocalClusterError, match="no user 'mallory'; there are: admin, alice, bob, carol, dave, erin"):
        control_plane.kubeconfig("mallory")


def test_an_api_server_that_is_not_there_is_refused(control_plane: ControlPlane) -> None:
    with pytest.raises(LocalClusterError, match="no API server 2; there are 1"):
        control_plane.kubeconfig("alice", server=2)


def test_a_failing_kubectl_raises_what_it_said(control_plane: ControlPlane) -> None:
    with pytest.raises(KubectlError, match=r'kubectl get pod none ended with 1: .*pods "none" not found'):
        control_plane.kubectl("get", "pod", "none")

    assert control_plane.kubectl("get", "pod", "none", check=False).returncode == 1


def test_edits_of_a_kubeconfig_stay(control_plane: ControlPlane) -> None:
    control_plane.kubectl("config", "set-context", "--current", "--namespace=default", user="dave")

    assert "namespace: default" in control_plane.kubeconfig("dave").read_text()


def test_nobody_else_can_read_a_kubeconfig(control_plane: ControlPlane) -> None:
    assert control_plane.kubeconfig("carol").stat().st_mode & 0o777 == 0o600
    assert control_plane.data_dir.stat().st_mode & 0o777 == 0o700


def test_a_deployment_becomes_pods_by_the_controllers_accounts_and_stop_leaves_nothing(
    binaries: Binaries, tmp_path: Path
) -> None:
    options = Options(controller_manager=True, audit_level="Metadata")
    with ControlPlane(tmp_path / "run", binaries, options=options) as own:
        own.create_namespace("shop")
        own.kubectl("create", "-f-", "-n", "shop", stdin=DEPLOYMENT, user="alice")
        wait_for_pods(own, "shop", 2)
        log = own.audit_log()
        processes = own.processes
        assert sorted(processes) == ["etcd", "kube-apiserver-1", "kube-controller-manager"]
        pids = [process.pid for process in processes.values()]
        assert all(map(is_alive, pids))

    assert not any(map(is_alive, pids))
    account = "system:serviceaccount:kube-system"
    assert creators(log, "shop", "deployments") == {"alice"}
    assert creators(log, "shop", "replicasets") == {f"{account}:deployment-controller"}
    assert creators(log, "shop", "pods") == {f"{account}:replicaset-controller"}


def test_two_api_servers_share_their_objects(two_servers: ControlPlane) -> None:
    two_servers.create_namespace("shared")

    two_servers.kubectl("create", "-f-", "-n", "shared", stdin=POD.replace("NAME", "one"), user="alice", server=1)
    two_servers.kubectl("create", "-f-", "-n", "shared", stdin=POD.replace("NAME", "two"), user="bob", server=2)

    first, second = (
        two_servers.kubectl("get", "pods", "-n", "shared", "--output=jsonpath={.items[*].metadata.uid}", server=server)
        for server in (1, 2)
    )
    assert len(set(two_servers.server_urls)) == 2
    assert len(first.stdout.split()) == 2
    assert first.stdout == second.stdout


def test_a_paused_api_server_leaves_the_other_at_work(two_servers: ControlPlane) -> None:
    two_servers.pause("kube-apiserver-1")
    try:
        two_servers.kubectl("get", "namespaces", server=2)
        with pytest.raises(KubectlError):
            two_servers.kubectl("get", "namespaces", "--request-timeout=1s", server=1)
    finally:
        two_servers.resume("kube-apiserver-1")
    two_servers.kubectl("get", "namespaces", server=1)


@pytest.mark.parametrize("name", ["kube-apiserver-2", "etcd", "kube-controller-manager"])
def test_a_killed_process_comes_back_where_it_was_with_what_it_knew(two_servers: ControlPlane, name: str) -> None:
    two_servers.kubectl("create", "configmap", f"before-{name}", "-n", "default")
    urls, pid = two_servers.server_urls, two_servers.processes[name].pid

    two_servers.processes[name].kill()
    two_servers.restart(name)

    assert two_servers.processes[name].pid != pid
    assert two_servers.server_urls == urls
    for server in (1, 2):
        two_servers.kubectl("wait", "--for=create", f"configmap/before-{name}", "-n", "default", server=server)


def test_without_a_controller_manager_pods_need_no_service_account_and_flags_are_passed_on(
    binaries: Binaries, tmp_path: Path
) -> None:
    flags = {"kube-apiserver": ["--watch-cache=false"], "etcd": ["--name=default"]}
    options = Options(etcd_compaction_interval="0", flags=flags)
    with ControlPlane(tmp_path / "run", binaries, options=options) as bare:
        bare.create_namespace("bare")
        bare.kubectl("create", "-f-", "-n", "bare", stdin=POD.replace("NAME", "mine"), user="alice")
        argv = bare.processes["kube-apiserver-1"].argv

    assert argv[-2:] == ("--etcd-compaction-interval=0", "--watch-cache=false")


def test_a_control_plane_that_cannot_start_says_why_and_leaves_nothing(binaries: Binaries, tmp_path: Path) -> None:
    options = Options(flags={"kube-apiserver-1": ["--no-such-flag"]})
    broken = ControlPlane(tmp_path / "run", binaries, options=options)

    with pytest.raises(ProcessError, match=r"kube-apiserver-1 ended before it was ready(.|\n)*--no-such-flag"):
        broken.start()

    assert not any(is_alive(process.pid) for process in broken.processes.values())


def test_a_controller_manager_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    envtest = Binaries(etcd=tmp_path, kube_apiserver=tmp_path, kubectl=tmp_path, kube_controller_manager=None)

    with pytest.raises(BinariesMissingError, match="has no kube-controller-manager"):
        ControlPlane(tmp_path / "run", envtest, options=Options(controller_manager=True)).start()

    assert not (tmp_path / "run").exists()


def test_before_the_start_there_is_nothing_to_reach(tmp_path: Path) -> None:
    nothing = Binaries(etcd=tmp_path, kube_apiserver=tmp_path, kubectl=tmp_path, kube_controller_manager=None)

    with pytest.raises(LocalClusterError, match="the control plane has not been started"):
        ControlPlane(tmp_path / "run", nothing).kubectl("get", "pods")
