"""
One case in one namespace: what a person does there, what is there by then, and what was.

Objects of a case carry the label `case`. They are watched, so that also what is there for a moment is seen.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp

from localcluster.controlplane import ControlPlane
from tests.cluster.made_nodes import DOES, NODES, MadeNodes
from tests.cluster.running import PATIENCE
from tests.replicated.asking import Answer, Asking, decided

Json = dict[str, Any]

CASE = "case"
KINDS = {
    "Pod": "api/v1/{}pods",
    "PersistentVolumeClaim": "api/v1/{}persistentvolumeclaims",
    "ReplicationController": "api/v1/{}replicationcontrollers",
    "Deployment": "apis/apps/v1/{}deployments",
    "ReplicaSet": "apis/apps/v1/{}replicasets",
    "StatefulSet": "apis/apps/v1/{}statefulsets",
    "DaemonSet": "apis/apps/v1/{}daemonsets",
    "ControllerRevision": "apis/apps/v1/{}controllerrevisions",
    "Job": "apis/batch/v1/{}jobs",
    "CronJob": "apis/batch/v1/{}cronjobs",
}
_GROUP = "people"
_STRATEGIC, _MERGE = "application/strategic-merge-patch+json", "application/merge-patch+json"

_DIFFERENT = [
    (re.compile(pattern), word)
    for pattern, word in (
        (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
        (r"kube-api-access-\w+", "kube-api-access-ANY"),
        (r"(cron-job-\w+)-\d{8}", r"\1-MINUTE"),
        (r'("resourceVersion": )"\d+"', r"\1ANY"),
        ("|".join(NODES), "NODE"),
    )
]
"""What differs from one run to the next."""

_STORAGE = ("managedFields", "resourceVersion", "creationTimestamp", "uid", "namespace")
_OURS = ("userquota.dev/", "kubectl.kubernetes.io/last-applied")


class Birth(NamedTuple):
    """A pod that is made, and which pods run beside it and are ready at that moment, by uid."""

    uid: str
    running: frozenset[str]
    ready: frozenset[str]


@dataclass
class Scene:
    """A case in a namespace. `notes` are what has to be the same in all namespaces, beside what is left in the end."""

    case: str
    place: str
    cluster: ControlPlane
    asking: Asking
    nodes: MadeNodes
    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    pods: dict[str, list[Json]] = field(default_factory=dict)
    """Every pod that ever was, by uid: each state in which it was seen, the last one at its end."""
    gone: set[str] = field(default_factory=set)
    """The uids of the pods that are gone."""
    births: list[Birth] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    """Of each pod, `made NAME` and `gone NAME`, as it happened."""
    most: int = 0
    """How many pods there were at once, without those that were being deleted or had ended."""
    most_wanted: int = 0
    """How many pods all ReplicaSets together were to have: one may make pods before another has deleted its own."""
    fewest_ready: int = 0
    """How many pods were ready at any time since this was set."""
    notes: list[object] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _shown: dict[str, int] = field(default_factory=dict)
    """By kind the version of storage up to which the watch has shown it."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def person(self) -> str:
        """Who acts, and acts in no other namespace."""
        return person_of(self.place)

    # What a person does.

    async def create(self, kind: str, spec: Json, *, name: str = "", **metadata: Any) -> Json:
        labels = {CASE: self.case, **metadata.pop("labels", {})}
        meta = {"name": name or self.case, "labels": labels, **metadata}
        version = KINDS[kind].partition("/")[2].partition("/{}")[0]
        body = {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}
        return await self._written(kind, await self._ask("POST", self.path(kind), body))

    async def patch(self, kind: str, body: Json, *, name: str = "", part: str = "", merge: bool = False) -> Json:
        path = f"{self.path(kind, name or self.case)}{part and '/'}{part}"
        found = await self._ask("PATCH", path, body, content_type=_MERGE if merge else _STRATEGIC)
        return await self._written(kind, found)

    async def scale(self, kind: str, replicas: int) -> None:
        await self.patch(kind, {"spec": {"replicas": replicas}}, part="scale", merge=True)

    async def delete(self, kind: str, *, name: str = "", policy: str = "Background") -> None:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
        await self._ask("DELETE", self.path(kind, name or self.case), options)

    async def kubectl(self, *words: str) -> str:
        """Return what kubectl says to the person. Raises: KubectlError."""
        who = (f"--as={self.person}", f"--as-group={_GROUP}", f"--namespace={self.place}")
        answer = await asyncio.to_thread(self.cluster.kubectl, *words, *who)
        self.warnings += [line for line in answer.stderr.splitlines() if line.startswith("Warning:")]
        return answer.stdout

    async def _written(self, kind: str, found: Json) -> Json:
        """Return what was written, once the watch has shown it, too."""
        revision = int(found["metadata"]["resourceVersion"])
        await self.until(lambda: self._shown.get(kind, 0) >= revision)
        return found

    # What is there.

    def get(self, kind: str, name: str = "") -> Json | None:
        return self.objects.get((kind, name or self.case))

    def status(self, kind: str, name: str = "") -> Json:
        """Return the status that speaks of the spec as it is; empty for an older one, and for no object."""
        found = self.get(kind, name)
        if found is None:
            return {}
        status: Json = found.get("status", {})
        generation = found["metadata"].get("generation")
        return status if status.get("observedGeneration", generation) == generation else {}

    def condition(self, kind: str, wanted: str) -> tuple[str, str]:
        """Return the status and the reason of a condition; empty for none."""
        for each in self.status(kind).get("conditions", ()):
            if each["type"] == wanted:
                return each["status"], each.get("reason", "")
        return "", ""

    def all(self, kind: str) -> list[Json]:
        """Return the objects of a kind that are not being deleted, by name."""
        found = [each for (other, _), each in sorted(self.objects.items()) if other == kind]
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def live(self) -> list[Json]:
        """Return the pods that have not ended and are not being deleted."""
        return [each for each in self.all("Pod") if is_live(each)]

    def ready(self) -> list[Json]:
        return [each for each in self.live() if is_ready(each)]

    def names(self, kind: str) -> list[str]:
        return [each["metadata"]["name"] for each in self.all(kind)]

    async def until(self, claim: Callable[[], object], *, within: float = PATIENCE) -> None:
        """Wait until *claim* holds. Raises: AssertionError."""
        try:
            async with asyncio.timeout(within):
                while not claim():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            left = {f"{kind} {name}": each.get("status") for (kind, name), each in self.objects.items()}
            raise AssertionError(f"{self.case} in {self.place} waits in vain; there are: {json.dumps(left)}") from None

    def note(self, **seen: object) -> None:
        """Keep what has to be the same in all namespaces at this moment."""
        self.notes.append(seen)

    # What happens.

    def see(self, event: str, found: Json) -> None:
        kind, meta = found["kind"], found["metadata"]
        self._shown[kind] = int(meta["resourceVersion"])
        if event == "DELETED":
            self.objects.pop((kind, meta["name"]), None)
        else:
            self.objects[kind, meta["name"]] = found
        if kind == "Pod":
            self._see_pod(event, found)
        if kind == "ReplicaSet":
            self.most_wanted = max(self.most_wanted, sum(each["spec"]["replicas"] for each in self.all(kind)))
        self._changed.set()

    def _see_pod(self, event: str, pod: Json) -> None:
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        if uid not in self.pods:
            others = [each for each in self.objects.values() if each["kind"] == "Pod" and each is not pod]
            running, ready = (
                frozenset(each["metadata"]["uid"] for each in others if holds(each))
                for holds in (has_not_ended, is_ready)
            )
            self.births.append(Birth(uid, running, ready))
            self.order.append(f"made {name}")
        self.pods.setdefault(uid, []).append(pod)
        if event == "DELETED":
            self.gone.add(uid)
            self.order.append(f"gone {name}")
        self.most = max(self.most, len(self.live()))
        self.fewest_ready = min(self.fewest_ready, len(self.ready()))

    def path(self, kind: str, name: str = "") -> str:
        return path(kind, self.place) + (f"/{name}" if name else "")

    async def _ask(self, method: str, at: str, body: Json, **how: Any) -> Json:
        who: Json = {"acting_as": self.person, "in_groups": (_GROUP,)}
        answer = await decided(lambda: self.asking.ask(method, at, body=body, **who, **how))
        assert answer.status in (200, 201, 202), f"{method} {at}: {answer.text}"
        self.warnings += answer.warnings
        return _document(answer)

    # What is compared.

    def left(self) -> dict[str, list[str]]:
        """Return all that is there, by kind, without what has to differ: texts of JSON, for a readable difference."""
        texts: dict[str, list[str]] = {}
        for (kind, _), found in self.objects.items():
            texts.setdefault(kind, []).append(self._text(found))
        return {kind: sorted(each) for kind, each in sorted(texts.items())}

    def history(self) -> list[str]:
        """Return what every pod that ever was had as its name, labels, owners and spec when it was made."""
        return sorted(self._text({**states[0], "status": {}}) for states in self.pods.values())

    def _text(self, found: Json) -> str:
        text = json.dumps(_compared(found), sort_keys=True, indent=1)
        for states in self.pods.values():
            meta = states[0]["metadata"]
            if "generateName" in meta:
                text = text.replace(meta["name"], f"{meta['generateName']}ANY")
        for pattern, word in _DIFFERENT:
            text = pattern.sub(word, text)
        return text.replace(self.place, "PLACE")


def _compared(found: Json) -> Json:
    meta = {name: value for name, value in found["metadata"].items() if name not in _STORAGE}
    annotations = {name: text for name, text in meta.get("annotations", {}).items() if not name.startswith(_OURS)}
    spec = {name: value for name, value in found.get("spec", {}).items() if name != "nodeName"}
    status = dict(found.get("status", {}))
    if "conditions" in status:
        status["conditions"] = sorted(status["conditions"], key=lambda each: str(each["type"]))
    if found["kind"] == "ReplicaSet":  # in how many steps it was scaled is a matter of time
        meta.pop("generation", None)
        status.pop("observedGeneration", None)
    return {**found, "metadata": {**meta, "annotations": annotations}, "spec": spec, "status": status}


def person_of(place: str) -> str:
    return f"person-of-{place}"


def has_not_ended(pod: Json) -> bool:
    return pod["status"]["phase"] not in ("Succeeded", "Failed")


def is_live(pod: Json) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and has_not_ended(pod)


def is_ready(pod: Json) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


def path(kind: str, place: str = "") -> str:
    return "/" + KINDS[kind].format(f"namespaces/{place}/" if place else "")


def template(case: str, *, does: str = "run", image: str = "one", **spec: Any) -> Json:
    """Return a pod template of a case."""
    container = {"name": "main", "image": f"example/{image}", "resources": {"requests": {"cpu": "10m"}}}
    meta = {"labels": {CASE: case, "app": case}, "annotations": {DOES: does}}
    return {"metadata": meta, "spec": {"containers": [container], **spec}}


async def watch(
    cluster: ControlPlane,
    kind: str,
    scenes: Mapping[tuple[str, str], Scene],
    nodes: MadeNodes,
    begun: asyncio.Barrier,
) -> None:
    """
    Tell each scene what happens to its objects of *kind*, until cancelled; *begun* is passed once the watch stands.

    The API server ends a watch that falls behind; it is continued from where it was. Raises: RuntimeError if it cannot.
    """
    tls = ssl.create_default_context(cafile=str(cluster.access.ca_file))
    headers = {"Authorization": f"Bearer {cluster.access.token('admin')}"}
    url = f"{cluster.server_urls[0]}{path(kind)}?labelSelector={CASE}"
    timeout = aiohttp.ClientTimeout()
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, read_bufsize=2**22) as session:
        async with session.get(url, ssl=tls) as answer:
            version = (await answer.json())["metadata"]["resourceVersion"]
        await begun.wait()
        while True:
            async with session.get(f"{url}&watch=1&resourceVersion={version}", ssl=tls) as answer:
                assert answer.status == 200, await answer.text()
                async for line in answer.content:
                    event = json.loads(line)
                    found = event["object"]
                    if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                        raise RuntimeError(f"the watch of {kind} says: {event}")
                    meta = found["metadata"]
                    version = meta["resourceVersion"]
                    scene = scenes.get((meta["labels"][CASE], meta["namespace"]))
                    if scene is None:
                        continue
                    scene.see(event["type"], {"kind": kind, **found})
                    if kind == "Pod" and event["type"] != "DELETED":
                        nodes.see(found)


def _document(answer: Answer) -> Json:
    document: Json = json.loads(answer.text)
    return document
