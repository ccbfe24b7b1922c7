"""
Which requests of a real API server reach which of our webhooks, by the rules and conditions of manifests/ as they are.

The webhooks are called at a server of the test that records and allows everything.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from webhook.certificates import self_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcluster.controlplane import ControlPlane

MANIFESTS = Path(__file__).parents[2] / "manifests"
MUTATE, VALIDATE, STAMPS = "mutate.userquota.dev", "validate.userquota.dev", "stamps.userquota.dev"
SCALE, ADVISE, POLICIES = "scale.userquota.dev", "advise.userquota.dev", "policies.userquota.dev"
OURS = "userquota-system"
BOTH = {MUTATE, VALIDATE}
NODE = "system:node:n1"
SCALED = ("deployments.apps", "replicasets.apps", "statefulsets.apps", "replicationcontrollers")


class MachineClock:
    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), tz=UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Call:
    webhook: str
    user: str
    namespace: str
    resource: str
    operation: str
    dry_run: bool


@dataclass
class Recorder:
    """An HTTPS server that allows everything and remembers who asked for what."""

    calls: list[Call] = field(default_factory=list)
    url: str = ""
    ca_bundle: bytes = b""

    def record(self, webhook: str, request: dict[str, Any]) -> None:
        resource = "/".join(filter(None, [request["resource"]["resource"], request.get("subResource")]))
        user, namespace, operation = request["userInfo"]["username"], request["namespace"], request["operation"]
        self.calls.append(Call(webhook, user, namespace, resource, operation, request["dryRun"]))


def start(recorder: Recorder) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            recorder.record(self.path.partition("?")[0].strip("/"), review["request"])
            answer = {"uid": review["request"]["uid"], "allowed": True}
            body = json.dumps({**review, "request": None, "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    identity = self_signed(["127.0.0.1"], MachineClock())
    server.socket = identity.context.wrap_socket(server.socket, server_side=True)
    recorder.url, recorder.ca_bundle = f"https://127.0.0.1:{server.server_port}", identity.ca_bundle
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def configurations(recorder: Recorder) -> list[dict[str, Any]]:
    """Return the two manifests with every webhook called at the recorder, by its own name."""
    bundle = base64.b64encode(recorder.ca_bundle).decode()
    found = []
    for name in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
        manifest = yaml.safe_load((MANIFESTS / f"{name}.yaml").read_text())
        for webhook in manifest["webhooks"]:
            webhook["clientConfig"] = {"url": f"{recorder.url}/{webhook['name']}", "caBundle": bundle}
        found.append(manifest)
    return found


@pytest.fixture(scope="module")
def recorder(control_plane: ControlPlane) -> Iterator[Recorder]:
    recorder = Recorder()
    server = start(recorder)
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": configurations(recorder)})
    control_plane.kubectl("create", "--filename=-", stdin=listed)
    try:
        yield recorder
    finally:
        control_plane.kubectl("delete", "--filename=-", stdin=listed)
        server.shutdown()
        server.server_close()


@dataclass
class Stage:
    """A namespace with one object of each kind we know, and people who do something to them."""

    control_plane: ControlPlane
    recorder: Recorder
    namespace: str

    def kubectl(self, *arguments: str, user: str = "admin", stdin: str | None = None, groups: str = "") -> str:
        impersonated = [f"--as={user}"] if user not in ("admin", "alice") else []
        impersonated += [f"--as-group={group}" for group in groups.split(",") if group]
        token = user if user in ("admin", "alice") else "admin"
        if not any(argument.startswith("--namespace") for argument in arguments):
            arguments = (*arguments, f"--namespace={self.namespace}")
        return self.control_plane.kubectl(*arguments, *impersonated, user=token, stdin=stdin).stdout

    def create(self, document: dict[str, Any], *, user: str = "alice", groups: str = "", namespace: str = "") -> None:
        target = f"--namespace={namespace or self.namespace}"
        self.kubectl("create", "--filename=-", target, user=user, groups=groups, stdin=json.dumps(document))

    def patch(self, name: str, body: dict[str, Any], *, user: str = "alice", groups: str = "", sub: str = "") -> None:
        target = name if "/" in name else f"pod/{name}"
        kind = "--type=strategic" if "spec" in body else "--type=merge"
        subresource = [f"--subresource={sub}"] if sub else []
        self.kubectl("patch", target, kind, f"--patch={json.dumps(body)}", *subresource, user=user, groups=groups)

    def node_reports(self, name: str, *, annotations: dict[str, str] | None = None) -> None:
        """Put a status as the kubelet does; kubectl's own patch would read it first, which nodes may not."""
        pod = json.loads(self.kubectl("get", "pod", name, "--output=json"))
        pod["metadata"]["annotations"] = annotations
        pod["status"]["phase"] = "Running"
        path = f"--raw=/api/v1/namespaces/{self.namespace}/pods/{name}/status"
        self.kubectl("replace", path, "--filename=-", user=NODE, groups="system:nodes", stdin=json.dumps(pod))

    def put_ephemeral_container(self, name: str, *, annotations: dict[str, str]) -> None:
        pod = json.loads(self.kubectl("get", "pod", name, "--output=json"))
        pod["metadata"]["annotations"] = annotations
        pod["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "x"}]
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/ephemeralcontainers"
        self.control_plane.kubectl("replace", f"--raw={path}", "--filename=-", stdin=json.dumps(pod))

    def bind(self, name: str, *, annotations: dict[str, str], through: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "annotations": annotations},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"},
        }
        path = f"/api/v1/namespaces/{self.namespace}/{through}"
        self.control_plane.kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(binding))

    def called(self, act: Callable[[Stage], object], *, user: str) -> set[str]:
        """
        Return the webhooks that were called for what *user* does in *act*, all but the one that only advises.

        Calls of controllers are left out.
        """
        self.recorder.calls.clear()
        act(self)
        return {call.webhook for call in self.recorder.calls if call.user == user} - {ADVISE}

    def is_advised(self, act: Callable[[Stage], object], *, user: str) -> bool:
        """Whether the webhook that advises was called for what *user* does in *act*."""
        self.recorder.calls.clear()
        act(self)
        return any(call.user == user and call.webhook == ADVISE for call in self.recorder.calls)


def pod(name: str, **metadata: object) -> dict[str, Any]:
    containers = [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "1"}}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": containers},
    }


def mirror_pod(name: str) -> dict[str, Any]:
    document = pod(name, annotations={"kubernetes.io/config.mirror": "abc"})
    return {**document, "spec": {**document["spec"], "nodeName": "n1"}}


def workload(kind: str, version: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "work"}, "spec": spec}


LABELS = {"app": "work"}
TEMPLATE: dict[str, Any] = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
JOB: dict[str, Any] = {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}
SELECTED = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
WORKLOADS = {
    "replicationcontrollers": workload(
        "ReplicationController", "v1", {"selector": LABELS, "template": TEMPLATE, "replicas": 0}
    ),
    "deployments.apps": workload("Deployment", "apps/v1", {**SELECTED, "replicas": 0}),
    "replicasets.apps": workload("ReplicaSet", "apps/v1", {**SELECTED, "replicas": 0}),
    "statefulsets.apps": workload("StatefulSet", "apps/v1", {**SELECTED, "serviceName": "work", "replicas": 0}),
    "daemonsets.apps": workload("DaemonSet", "apps/v1", SELECTED),
    "jobs.batch": workload("Job", "batch/v1", {**JOB, "suspend": True}),
    "cronjobs.batch": workload("CronJob", "batch/v1", {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": JOB}}),
}
STAMP = {"metadata": {"annotations": {"userquota.dev/owner": "mallory"}}}
GROUPS = {"metadata": {"annotations": {"userquota.dev/groups": "[]"}}}
MAKER = {"metadata": {"annotations": {"userquota.dev/maker": '["mallory",[]]'}}}
STAMP_KEYS = ("owner", "groups", "maker")
EMPTY_STAMP = {"metadata": {"annotations": {"userquota.dev/owner": ""}}}
NO_STAMP = {"metadata": {"annotations": {"userquota.dev/owner": None}}}
NOTE = {"metadata": {"annotations": {"example.com/note": "x"}}}
LABEL = {"metadata": {"labels": {"colour": "red"}}}
RELEASED: dict[str, Any] = {"metadata": {"ownerReferences": None}}
BIGGER = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}}
NEW_IMAGE = {"spec": {"containers": [{"name": "c", "image": "y", "resources": {"requests": {"cpu": "1"}}}]}}
PROBE = ("run", "probe", "--image=x", "--dry-run=server", "--annotations=userquota.dev/owner=probe")
FORCED = ["--force", "--grace-period=0"]


def fresh_name() -> str:
    return f"pod-{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def stage(control_plane: ControlPlane, recorder: Recorder) -> Iterator[Stage]:
    namespace = "matching"
    control_plane.create_namespace(namespace)
    stage = Stage(control_plane, recorder, namespace)
    wait_until_called(stage)
    for document in WORKLOADS.values():
        stage.create(document)
    yield stage
    control_plane.kubectl("delete", "namespace", namespace, "--wait=false")


def wait_until_called(stage: Stage) -> None:
    """Return when the API server has taken note of both configurations: it does that by a watch of its own."""
    for _ in range(100):
        if stage.called(lambda stage: stage.kubectl(*PROBE), user="admin") == BOTH:
            return
        time.sleep(0.1)
    raise TimeoutError("the API server calls no webhook")


@pytest.fixture
def subject(stage: Stage) -> str:
    """Return the name of a pod made for this test alone, without annotations."""
    name = fresh_name()
    stage.create(pod(name))
    return name


@dataclass(frozen=True, slots=True)
class Case:
    act: Callable[[Stage, str], object]
    called: frozenset[str] | set[str] = frozenset()
    user: str = "alice"


ON_A_POD = {
    "a label is changed": Case(lambda s, p: s.patch(p, LABEL)),
    "another annotation is changed": Case(lambda s, p: s.patch(p, NOTE)),
    "the image is changed": Case(lambda s, p: s.patch(p, NEW_IMAGE)),
    "a part of a GPU is asked for": Case(lambda s, p: s.patch(p, sharing("gpu-fraction")), {VALIDATE}),
    "a part of a GPU is asked for by its size": Case(lambda s, p: s.patch(p, sharing("gpu-memory")), {VALIDATE}),
    "the number of shared GPUs is changed": Case(
        lambda s, p: s.patch(p, sharing("gpu-fraction-num-devices")), {VALIDATE}
    ),
    "the owner is written": Case(lambda s, p: s.patch(p, STAMP), BOTH),
    "an empty owner is written": Case(lambda s, p: s.patch(p, EMPTY_STAMP), BOTH),
    "the groups are written": Case(lambda s, p: s.patch(p, GROUPS), BOTH),
    "an owner reference is added": Case(lambda s, p: s.patch(p, owned_by(s))),
    "it is resized": Case(lambda s, p: s.patch(p, BIGGER, sub="resize"), {VALIDATE}),
    "a node reports its status": Case(lambda s, p: s.node_reports(p), user=NODE),
    "a node writes the owner through the status": Case(
        lambda s, p: s.node_reports(p, annotations={"userquota.dev/owner": "m"}), {STAMPS}, user=NODE
    ),
    "a node writes the groups through the status": Case(
        lambda s, p: s.node_reports(p, annotations={"userquota.dev/groups": "[]"}), {STAMPS}, user=NODE
    ),
    "an owner reference is sent through the status, which drops it": Case(
        lambda s, p: s.patch(p, owned_by(s), sub="status", user="admin"), user="admin"
    ),
    "an ephemeral container is added": Case(lambda s, p: s.put_ephemeral_container(p, annotations={}), user="admin"),
    "an ephemeral container is added with an owner, which is dropped": Case(
        lambda s, p: s.put_ephemeral_container(p, annotations={"userquota.dev/owner": "mallory"}), user="admin"
    ),
    "it is bound to a node": Case(
        lambda s, p: s.bind(p, annotations={"example.com/a": "b"}, through=f"pods/{p}/binding"), user="admin"
    ),
    "it is bound with an owner": Case(
        lambda s, p: s.bind(p, annotations={"userquota.dev/owner": "m"}, through=f"pods/{p}/binding"),
        {STAMPS},
        user="admin",
    ),
    "it is bound with groups": Case(
        lambda s, p: s.bind(p, annotations={"userquota.dev/groups": ""}, through=f"pods/{p}/binding"),
        {STAMPS},
        user="admin",
    ),
    "it is bound with a maker": Case(
        lambda s, p: s.bind(p, annotations={"userquota.dev/maker": ""}, through=f"pods/{p}/binding"),
        {STAMPS},
        user="admin",
    ),
    "it is bound with an owner at the older address": Case(
        lambda s, p: s.bind(p, annotations={"userquota.dev/owner": "m"}, through="bindings"), {STAMPS}, user="admin"
    ),
    "it is deleted": Case(lambda s, p: s.kubectl("delete", "pod", p, *FORCED, user="alice")),
}


def sharing(annotation: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {annotation: "1"}}}


def owned_by(stage: Stage) -> dict[str, Any]:
    """Return a patch that makes an object belong to one that exists, so that it is not collected as garbage."""
    uid = stage.kubectl("get", "serviceaccount", "default", "--output=jsonpath={.metadata.uid}")
    owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "default", "uid": uid}
    return {"metadata": {"ownerReferences": [owner]}}


@pytest.mark.parametrize("case", ON_A_POD.values(), ids=ON_A_POD.keys())
def test_of_what_happens_to_a_pod_we_hear_what_matters(stage: Stage, subject: str, case: Case) -> None:
    assert stage.called(lambda stage: case.act(stage, subject), user=case.user) == case.called


DOORS = [
    *(pytest.param(f"{resource}/work", "status", True, True, id=f"{resource}/status: both") for resource in WORKLOADS),
    pytest.param("", "status", True, False, id="pods/status: the annotations"),
    pytest.param("", "resize", False, False, id="pods/resize: neither"),
    *(pytest.param(f"{resource}/work", "scale", False, False, id=f"{resource}/scale: neither") for resource in SCALED),
]


@pytest.mark.parametrize(("name", "door", "annotations", "owner_references"), DOORS)
def test_what_a_subresource_lets_through_is_what_the_manifest_says(
    stage: Stage, subject: str, name: str, door: str, *, annotations: bool, owner_references: bool
) -> None:
    target = name or f"pod/{subject}"
    clean = {"metadata": {"annotations": {"userquota.dev/owner": None}, "ownerReferences": None}}
    stage.patch(target, clean, user="admin")
    body = {"metadata": {"annotations": {"userquota.dev/owner": "mallory"}, **owned_by(stage)["metadata"]}}
    stage.patch(target, body, user="admin", sub=door)
    after = json.loads(stage.kubectl("get", target, "--output=json"))["metadata"]
    stage.patch(target, clean, user="admin")
    assert ("userquota.dev/owner" in after.get("annotations", {})) is annotations
    assert ("ownerReferences" in after) is owner_references


def test_an_owner_that_is_removed_is_heard_of(stage: Stage, subject: str) -> None:
    stage.patch(subject, STAMP)
    assert stage.called(lambda stage: stage.patch(subject, NO_STAMP), user="alice") == BOTH


def test_an_owner_that_stays_is_not_heard_of(stage: Stage, subject: str) -> None:
    stage.patch(subject, STAMP)
    assert stage.called(lambda stage: stage.patch(subject, {**STAMP, "spec": {}}), user="alice") == set()


CREATED = {
    "a pod by a person": Case(lambda s, n: s.create(pod(n)), BOTH),
    "a pod with a stamp by a person": Case(lambda s, n: s.create(pod(n, **STAMP["metadata"])), BOTH),
    "a pod with generated name": Case(lambda s, n: s.create(pod("", generateName=n)), BOTH),
    "a mirror pod by a node": Case(lambda s, n: s.create(mirror_pod(n), user=NODE, groups="system:nodes"), user=NODE),
    "a pod by a node that is no mirror": Case(
        lambda s, n: s.create(pod(n), user=NODE, groups="system:nodes"), BOTH, user=NODE
    ),
    "a pod with the mirror's annotation by a person": Case(lambda s, n: s.create(mirror_pod(n)), BOTH),
    "a pod in kube-system": Case(lambda s, n: s.create(pod(n), namespace="kube-system", user="admin"), user="admin"),
    "a pod in kube-node-lease": Case(
        lambda s, n: s.create(pod(n), namespace="kube-node-lease", user="admin"), user="admin"
    ),
    "a pod in kube-public": Case(
        lambda s, n: s.create(pod(n), namespace="kube-public", user="admin"), BOTH, user="admin"
    ),
    "a ConfigMap": Case(lambda s, n: s.kubectl("create", "configmap", n, user="alice")),
}


@pytest.mark.parametrize("case", CREATED.values(), ids=CREATED.keys())
def test_of_what_is_created_we_hear_what_matters(stage: Stage, case: Case) -> None:
    name = fresh_name()
    assert stage.called(lambda stage: case.act(stage, name), user=case.user) == case.called


@pytest.mark.parametrize("resource", WORKLOADS)
def test_a_workload_that_is_created_is_heard_of(stage: Stage, resource: str) -> None:
    document = {**WORKLOADS[resource], "metadata": {"name": "another"}}
    assert stage.called(lambda stage: stage.create(document), user="alice") == BOTH
    stage.kubectl("delete", resource, "another", "--wait=false")


ON_A_WORKLOAD: dict[str, Case] = {
    "a label is changed": Case(lambda s, w: s.patch(w, LABEL, user="admin")),
    "the owner is written": Case(lambda s, w: s.patch(w, STAMP, user="admin"), BOTH),
    "the groups are written": Case(lambda s, w: s.patch(w, GROUPS, user="admin"), BOTH),
    "the maker is written": Case(lambda s, w: s.patch(w, MAKER, user="admin"), BOTH),
    "a status is reported": Case(lambda s, w: s.patch(w, {**LABEL, "status": {}}, user="admin", sub="status")),
    "the owner is written through the status": Case(
        lambda s, w: s.patch(
            w, {"metadata": {"annotations": {"userquota.dev/owner": "eve"}}}, user="admin", sub="status"
        ),
        {STAMPS},
    ),
    "the groups are written through the status": Case(
        lambda s, w: s.patch(
            w, {"metadata": {"annotations": {"userquota.dev/groups": "x"}}}, user="admin", sub="status"
        ),
        {STAMPS},
    ),
}


@pytest.mark.parametrize("resource", WORKLOADS)
def test_of_what_happens_to_a_workload_we_hear_what_matters(stage: Stage, resource: str) -> None:
    def heard_of(act: Callable[[Stage, str], object]) -> set[str]:
        return stage.called(lambda stage: act(stage, f"{resource}/work"), user="admin")

    heard = {what: heard_of(case.act) for what, case in ON_A_WORKLOAD.items()}
    assert heard == {what: set(case.called) for what, case in ON_A_WORKLOAD.items()}


NEVER_STAMPED = {"metadata": {"annotations": dict.fromkeys(f"userquota.dev/{key}" for key in STAMP_KEYS)}}
UNATTRIBUTED = {
    "metadata": {"annotations": {"userquota.dev/owner": "system:unattributed", "userquota.dev/groups": "[]"}}
}
OWNED = {"metadata": {"annotations": {"userquota.dev/owner": "carol", "userquota.dev/groups": "[]"}}}
ADOPTED = {"metadata": {"annotations": {**OWNED["metadata"]["annotations"], "userquota.dev/maker": '["alice",[]]'}}}
STAMPED_BEFORE: dict[str, dict[str, Any]] = {
    "never stamped": NEVER_STAMPED,
    "unattributed": UNATTRIBUTED,
    "owned": OWNED,
    "owned by adoption": ADOPTED,
}
each_state = pytest.mark.parametrize("state", STAMPED_BEFORE)

ASKERS = {
    "alice": True,
    "system:serviceaccount:matching:robot": True,
    "system:serviceaccount:elsewhere:robot": False,
    "admin": False,
}
"""Who asks for more, and whether they are a person or an account that people make in the namespace."""

FIELDS: dict[str, tuple[str, object]] = {
    **dict.fromkeys(WORKLOADS, ("minReadySeconds", 0)),
    "jobs.batch": ("parallelism", 1),
    "cronjobs.batch": ("schedule", "0 0 1 1 *"),
}
"""A field of each workload's specification, and the value that it has."""


def other_than(value: object) -> object:
    return value + 1 if isinstance(value, int) else "1 1 1 1 *"


@pytest.fixture
def robots(stage: Stage) -> Iterator[None]:
    """Let service accounts do what people may do."""
    name = f"--clusterrole=userquota-test-edit --group=system:serviceaccounts --namespace={stage.namespace}".split()
    stage.kubectl("create", "rolebinding", "robots", *name)
    yield
    stage.kubectl("delete", "rolebinding", "robots")


@pytest.mark.usefixtures("robots")
@each_state
@pytest.mark.parametrize("resource", WORKLOADS)
def test_of_what_a_person_changes_we_hear_where_nobody_is_known_to_own_it(
    stage: Stage, resource: str, state: str
) -> None:
    target, (field_name, value) = f"{resource}/work", FIELDS[resource]
    stage.patch(target, STAMPED_BEFORE[state], user="admin")
    heard = {}
    for asker in ASKERS:
        change = {"spec": {field_name: other_than(value)}}
        heard[asker] = stage.called(lambda s: s.patch(target, change, user=asker), user=asker)  # noqa: B023 - at once
        stage.patch(target, {"spec": {field_name: value}}, user="admin")
    stage.patch(target, NEVER_STAMPED, user="admin")
    assert heard == {
        asker: {MUTATE} if is_person and not state.startswith("owned") else set() for asker, is_person in ASKERS.items()
    }


@each_state
@pytest.mark.parametrize("target", ["pod", *WORKLOADS])
def test_of_owner_references_we_hear_where_nobody_is_known_to_own_a_workload(
    stage: Stage, subject: str, target: str, state: str
) -> None:
    """Pods pay for themselves, and no controller of Kubernetes makes a ReplicationController."""
    is_followed = target not in ("pod", "replicationcontrollers")
    target = f"pod/{subject}" if target == "pod" else f"{target}/work"
    stage.patch(target, STAMPED_BEFORE[state], user="admin")

    adopted = stage.called(lambda s: s.patch(target, owned_by(s), user="admin"), user="admin")
    released = stage.called(lambda s: s.patch(target, RELEASED, user="admin"), user="admin")
    stage.patch(target, owned_by(stage), user="admin")
    through_status = stage.called(lambda s: s.patch(target, RELEASED, user="admin", sub="status"), user="admin")

    stage.patch(target, {"metadata": {**NEVER_STAMPED["metadata"], **RELEASED["metadata"]}}, user="admin")
    assert adopted == released == (BOTH if is_followed and state != "owned" else set())
    assert through_status == ({STAMPS} if is_followed and state != "owned" else set())


@pytest.mark.usefixtures("robots")
@pytest.mark.parametrize("resource", SCALED)
def test_of_scaling_up_by_people_we_hear_and_of_no_other_scaling(stage: Stage, resource: str) -> None:
    """The object is a Scale, which does not tell whether the workload has an owner."""

    def scaled(replicas: int, asker: str) -> set[str]:
        words = ("scale", f"{resource}/work", f"--replicas={replicas}")
        return stage.called(lambda s: s.kubectl(*words, user=asker), user=asker)

    up, down = {}, {}
    for asker in ASKERS:
        up[asker] = scaled(1, asker)
        down[asker] = scaled(0, asker)
    assert up == {asker: {SCALE} if is_person else set() for asker, is_person in ASKERS.items()}
    assert not any(down.values())


@pytest.fixture
def reporting(stage: Stage) -> Iterator[None]:
    """Let everybody write the status of pods, as a badly written role does."""
    stage.kubectl("create", "role", "reporting", "--verb=get,patch,update", "--resource=pods/status")
    stage.kubectl("create", "rolebinding", "reporting", "--role=reporting", "--group=system:authenticated")
    yield
    stage.kubectl("delete", "rolebinding/reporting", "role/reporting")


REPORTERS = {
    "alice": {STAMPS},
    "system:serviceaccount:matching:robot": {STAMPS},
    "system:serviceaccount:kube-system:pod-garbage-collector": set(),
    "system:kube-scheduler": set(),
    "admin": set(),
}


@pytest.mark.usefixtures("robots", "reporting")
@pytest.mark.parametrize("reporter", REPORTERS)
def test_of_a_status_we_hear_if_no_component_reports_it(stage: Stage, subject: str, reporter: str) -> None:
    report = {"status": {"conditions": [{"type": "example.com/seen", "status": "True"}]}}
    heard = stage.called(lambda s: s.patch(subject, report, user=reporter, sub="status"), user=reporter)
    assert heard == REPORTERS[reporter]


@pytest.mark.usefixtures("reporting")
def test_of_a_status_that_stays_we_do_not_hear(stage: Stage, subject: str) -> None:
    assert stage.called(lambda s: s.patch(subject, LABEL, sub="status"), user="alice") == set()


def test_a_dry_run_is_heard_of_as_one(stage: Stage) -> None:
    stage.recorder.calls.clear()
    stage.kubectl("run", "dry", "--image=x", "--dry-run=server", user="alice")
    heard = {(call.webhook, call.dry_run) for call in stage.recorder.calls if call.user == "alice"}
    assert heard == {(MUTATE, True), (VALIDATE, True)}


def test_an_eviction_is_not_heard_of(stage: Stage, subject: str) -> None:
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": subject, "annotations": {"userquota.dev/owner": "mallory"}},
    }
    path = f"--raw=/api/v1/namespaces/{stage.namespace}/pods/{subject}/eviction"

    def evict(stage: Stage) -> None:
        stage.control_plane.kubectl("create", path, "--filename=-", stdin=json.dumps(eviction))

    assert stage.called(evict, user="admin") == set()


def test_what_controllers_make_is_heard_of_and_what_they_report_is_not(stage: Stage) -> None:
    stage.recorder.calls.clear()
    stage.kubectl("create", "deployment", "chain", "--image=x", "--replicas=2", user="alice")
    stage.kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deployment/chain", "--timeout=30s")
    stage.kubectl("delete", "deployment", "chain", "--cascade=foreground")
    heard = {(call.user.rpartition(":")[2], call.resource, call.webhook) for call in stage.recorder.calls}
    assert heard - {("alice", "deployments", ADVISE)} == {
        (user, resource, webhook)
        for webhook in BOTH
        for user, resource in [
            ("alice", "deployments"),
            ("deployment-controller", "replicasets"),
            ("replicaset-controller", "pods"),
        ]
    }


def test_no_condition_ever_failed(stage: Stage) -> None:
    metrics = stage.control_plane.kubectl("get", "--raw=/metrics").stdout
    assert "apiserver_admission_match_condition_exclusions_total" in metrics
    assert "apiserver_admission_match_condition_evaluation_errors_total{" not in metrics


@pytest.mark.parametrize("resource", WORKLOADS)
def test_of_what_a_workload_asks_for_the_one_that_advises_hears(stage: Stage, resource: str) -> None:
    document = {**WORKLOADS[resource], "metadata": {"name": "advised"}}
    target, (field_name, value) = f"{resource}/advised", FIELDS[resource]
    heard = {
        "it is created": lambda s: s.create(document),
        "its spec is changed": lambda s: s.patch(target, {"spec": {field_name: other_than(value)}}, user="admin"),
        "a label is changed": lambda s: s.patch(target, LABEL, user="admin"),
        "its status is reported": lambda s: s.patch(target, {**LABEL, "status": {}}, user="admin", sub="status"),
        "it is deleted": lambda s: s.kubectl("delete", target, "--wait=false"),
    }
    users = {"it is created": "alice"}
    found = {what: stage.is_advised(act, user=users.get(what, "admin")) for what, act in heard.items()}
    assert found == {what: what in ("it is created", "its spec is changed") for what in heard}


@pytest.mark.parametrize(
    ("user", "is_heard"),
    [
        ("alice", True),
        ("system:serviceaccount:elsewhere:robot", True),
        ("system:serviceaccount:kube-system:horizontal-pod-autoscaler", True),
        ("system:serviceaccount:kube-system:deployment-controller", False),
        ("system:kube-controller-manager", False),
        ("system:node:n1", False),
    ],
)
def test_the_one_that_advises_hears_of_scaling_by_anybody_but_controllers(
    stage: Stage, user: str, *, is_heard: bool
) -> None:
    stage.kubectl("create", "rolebinding", "scalers", "--clusterrole=edit", f"--user={user}")
    words = ("scale", "deployments.apps/work")
    try:
        assert stage.is_advised(lambda s: s.kubectl(*words, "--replicas=1", user=user), user=user) is is_heard
    finally:
        stage.kubectl(*words, "--replicas=0")
        stage.kubectl("delete", "rolebinding", "scalers")


@pytest.fixture(scope="module")
def ours(stage: Stage) -> Iterator[Stage]:
    """The namespace of the policy, with a policy, which has the label, and a ledger, which has none."""
    stage.control_plane.create_namespace(OURS)
    for name, labels in (("kept", {"userquota.dev/policy": "true"}), ("ledger", {"app": "x"})):
        stage.create(config_map(name, labels), namespace=OURS)
    yield stage
    stage.control_plane.kubectl("delete", "namespace", OURS, "--wait=true", "--ignore-not-found")


def config_map(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


def in_ours(*words: str) -> Callable[[Stage], object]:
    return lambda stage: stage.kubectl(*words, f"--namespace={OURS}")


POLICY_EDITS: dict[str, tuple[Callable[[Stage], object], bool]] = {
    "a new policy": (
        lambda s: s.create(config_map("new", {"userquota.dev/policy": "true"}), user="admin", namespace=OURS),
        True,
    ),
    "another label": (
        lambda s: s.create(config_map("no", {"userquota.dev/policy": "no"}), user="admin", namespace=OURS),
        False,
    ),
    "a policy elsewhere": (
        lambda s: s.create(config_map("far", {"userquota.dev/policy": "true"}), user="admin"),
        False,
    ),
    "an edit": (in_ours("patch", "configmap/kept", '--patch={"data":{"a":"b"}}'), True),
    "an edit of the ledger": (in_ours("patch", "configmap/ledger", '--patch={"data":{"a":"b"}}'), False),
    "the label comes": (in_ours("label", "configmap/ledger", "userquota.dev/policy=true"), True),
    "the label goes": (in_ours("label", "configmap/ledger", "userquota.dev/policy-"), True),
    "the policy goes": (in_ours("delete", "configmap/kept"), True),
    "the ledger goes": (in_ours("delete", "configmap/ledger"), False),
}


def test_of_config_maps_only_edits_of_the_policy_reach_us(ours: Stage) -> None:
    found = {what: ours.called(act, user="admin") for what, (act, _) in POLICY_EDITS.items()}
    assert found == {what: {POLICIES} if is_heard else set() for what, (_, is_heard) in POLICY_EDITS.items()}


def test_whoever_deletes_the_whole_namespace_is_not_asked_about_its_policy(ours: Stage) -> None:
    ours.recorder.calls.clear()
    ours.control_plane.kubectl("delete", "namespace", OURS, "--wait=true")
    assert [call for call in ours.recorder.calls if call.webhook == POLICIES] == []
