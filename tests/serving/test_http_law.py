"""
No spoiled review is ever allowed, and none makes the server stumble.

The law. Take a review that a real API server sent, spoil it in any fields at any depth, and post it. Then

- the status is 200, 400 or 503, and what comes with 200 is an answer to the uid that was sent, never one about a bug;
- it says allowed: true only if what was posted still
  - concerns nothing that we judge (another kind of object, another operation, a subresource without a stamp), or
  - carries the stamp of its payer, to the letter, and costs no more than the limit, by a count of its own in this file;
    an update may also cost no more than before.

The count here follows design.md and knows nothing of the code: it reads the same bytes with Python's own JSON reader.
"""

from __future__ import annotations

import asyncio
import copy
import http.client
import json
import re
import ssl
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from tests.admission.asking import Webhook
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.certificates import self_signed
from webhook.serving.callers import CallerFiles, Callers
from webhook.serving.http_server import Health, HttpServer
from webhook.serving.metrics import Metrics
from webhook.wiring.application import SystemClock

REVIEWS = Path(__file__).parents[1] / "admission" / "reviews"
CREATED = json.loads((REVIEWS / "pod-created-by-alice.json").read_text())
RESIZED = json.loads((REVIEWS / "pod-resized-by-alice.json").read_text())
BOUND = json.loads((REVIEWS / "pod-bound.json").read_text())

LIMIT = Fraction(3, 2)
POLICY = "version: 1\ndefaults: {user: {hard: {cpu: 1500m}}, serviceAccount: {hard: {cpu: 1500m}}}\n"
"""The pod of the recorded reviews asks for one core, and for two after its resize."""


# The server, in a thread of its own: the client below is a plain one.


class Server:
    """The real HTTP server over the real request path; each review finds an empty ledger."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        identity = self_signed(("127.0.0.1",), SystemClock())
        callers = Callers(CallerFiles(), identity.clients)
        server = HttpServer({"/validate": self._validate}, Health({}), Metrics(dict), callers)
        port = self._loop.run_until_complete(server.start("127.0.0.1", 0, identity.context))
        self._server = server
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        tls = ssl.create_default_context(cadata=identity.ca_bundle.decode())
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=20)

    async def _validate(self, request: AdmissionRequest, _: float) -> AdmissionResponse:
        webhook = Webhook(POLICY)
        return await webhook.handler.validate(request, deadline=webhook.clock.monotonic() + 5)

    def post(self, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", "/validate?timeout=5s", body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, response.read()

    def stop(self) -> None:
        self._connection.close()
        asyncio.run_coroutine_threadsafe(self._server.drain(0), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


# What may be allowed, counted anew.

SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
QUANTITY = re.compile(r"([+-]?[0-9]*\.?[0-9]*)(?:[eE]([+-]?[0-9]+)|([A-Za-z]*))", re.ASCII)
STAMPED = {
    *("pods", "replicationcontrollers", "jobs.batch", "cronjobs.batch"),
    *(f"{name}.apps" for name in ("deployments", "replicasets", "statefulsets", "daemonsets")),
}
OWNER, GROUPS, MIRROR = "userquota.dev/owner", "userquota.dev/groups", "kubernetes.io/config.mirror"


LONGEST_GROUPS = 4096
"""Characters of the groups in a stamp; beyond them only those are stamped that a policy names."""


class Unreadable(Exception):  # noqa: N818 - what the count cannot say anything about
    pass


def quantity(value: object) -> Fraction:
    if value is None:
        return Fraction(0)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Unreadable
    match = QUANTITY.fullmatch(str(value).strip())
    if match is None or not match[1].strip("+-."):
        raise Unreadable
    number, exponent, suffix = Fraction(match[1].rstrip(".")), match[2], match[3] or ""
    if exponent is not None:
        return number * Fraction(10) ** int(exponent)
    if suffix not in SUFFIXES | BINARY:
        raise Unreadable
    return number * (Fraction(2) ** BINARY[suffix] if suffix in BINARY else Fraction(10) ** SUFFIXES[suffix])


def cpu_of(pod: dict[str, Any]) -> Fraction:
    """Return the least that a pod can cost, however its containers follow one another."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return Fraction(0)
    spec = pod.get("spec") or {}
    overhead = quantity((spec.get("overhead") or {}).get("cpu"))
    level = ((spec.get("resources") or {}).get("requests") or {}).get("cpu")
    if level is not None:
        return quantity(level) + overhead
    everyone = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    for each in everyone:
        if each.get("resources") is not None and not isinstance(each["resources"], dict):
            raise Unreadable
    running, starting = (
        [quantity(((each.get("resources") or {}).get("requests") or {}).get("cpu")) for each in spec.get(part) or []]
        for part in ("containers", "initContainers")
    )
    if any(amount < 0 for amount in (*running, *starting, overhead)):
        raise Unreadable
    return max(sum(running, Fraction(0)), *starting, Fraction(0)) + overhead


def stamp_of(document: dict[str, Any]) -> dict[str, str]:
    noted = (document.get("metadata") or {}).get("annotations") or {}
    return {key: noted[key] for key in (OWNER, GROUPS) if noted.get(key) is not None}


def may_be_allowed(body: dict[str, Any]) -> bool:
    """Return whether any reading of the rules lets this pass."""
    request = body["request"]
    operation, sub_resource = request["operation"], request.get("subResource") or ""
    plural = ".".join(filter(None, (request["resource"]["resource"], request["resource"].get("group"))))
    if not request["resource"]["resource"] or operation not in ("CREATE", "UPDATE", "DELETE", "CONNECT"):
        return False
    if operation != "DELETE" and (plural == "bindings" or (plural, sub_resource) == ("pods", "binding")):
        return not stamp_of(request["object"])
    is_changed_on_the_side = operation == "CREATE" and sub_resource
    if plural not in STAMPED or operation in ("DELETE", "CONNECT") or is_changed_on_the_side or _is_mirror(request):
        return True
    is_charged = plural == "pods" and sub_resource in ("", "resize")
    return bool(request["namespace"]) and _is_rightly_stamped(request) and (not is_charged or _is_affordable(request))


def _is_mirror(request: dict[str, Any]) -> bool:
    noted = (request["object"].get("metadata") or {}).get("annotations") or {}
    return "system:nodes" in (request["userInfo"].get("groups") or []) and noted.get(MIRROR) is not None


def _is_rightly_stamped(request: dict[str, Any]) -> bool:
    stamp = stamp_of(request["object"])
    if request["operation"] == "UPDATE":
        return stamp == stamp_of(request["oldObject"])
    groups = sorted(set(request["userInfo"].get("groups") or []) - {"system:authenticated"})
    written = json.dumps(groups, ensure_ascii=False, separators=(",", ":"))
    if not request["userInfo"]["username"] or stamp.get(OWNER) != request["userInfo"]["username"]:
        return False
    if len(written) <= LONGEST_GROUPS:
        return bool(stamp[GROUPS] == written)
    # Some had to be left out, and this policy names none: any of them may be there, and nobody else's.
    return set(json.loads(stamp[GROUPS])) <= set(groups)


def _is_affordable(request: dict[str, Any]) -> bool:
    cost = cpu_of(request["object"])
    return cost <= LIMIT or (request["operation"] == "UPDATE" and cost <= cpu_of(request["oldObject"]))


def is_lawful(posted: bytes, status: int, answered: bytes) -> bool:
    """Return whether the answer obeys the law at the top of this file."""
    if status != 200:
        event(f"HTTP {status}")
        return status in (400, 503)
    answer = json.loads(answered)
    body = json.loads(posted.decode(errors="replace"), strict=False)
    response = answer["response"]
    event("allowed" if response["allowed"] else "denied")
    if (answer["apiVersion"], answer["kind"]) != ("admission.k8s.io/v1", "AdmissionReview"):
        return False
    if response["uid"] != body["request"]["uid"]:
        return False
    if response["allowed"]:
        return may_be_allowed(body)
    denied = (response["status"]["code"], response["status"]["reason"])
    return denied in {(403, "Forbidden"), (409, "Conflict")}


# What is done to reviews.

VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 3, 10**30, 1.5, "", "1", "3", "-1", "1e3", "500m", "1Ki", "0x1", " 1 ", "1_0"),
        *(
            "alice",
            "bob",
            "Always",
            "Succeeded",
            "CREATE",
            "UPDATE",
            "DELETE",
            "CONNECT",
            "resize",
            "status",
            "binding",
        ),
        *("pods", "bindings", "deployments", "apps", "system:nodes", "system:serviceaccount:a:b", "[]", '["ml"]'),
        *([], {}, [[]], [{}], ["ml"], {"cpu": "9"}, {OWNER: "bob"}, {OWNER: "alice", GROUPS: "[]"}, {MIRROR: "x"}),
        *("\u0000", "\uff11", "\U0001f600", "a" * 5000),
    ]
)
PLACES = st.sampled_from(
    [
        "userInfo.username",
        "userInfo.groups",
        "operation",
        "subResource",
        "namespace",
        "resource.resource",
        "resource.group",
        "object.metadata.annotations",
        "object.metadata.ownerReferences",
        "object.spec.containers",
        "object.spec.containers.0.resources",
        "object.spec.containers.0.resources.requests",
        "object.spec.containers.0.resources.requests.cpu",
        "object.spec.initContainers",
        "object.spec.overhead",
        "object.spec.resources",
        "object.status.phase",
    ]
)
"""Places that matter, beside all the others: a change that is drawn at random would seldom find them."""


def places_in(node: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Return the way to every value inside *node*."""
    children: list[tuple[str | int, object]] = []
    if isinstance(node, dict):
        children = list(node.items())
    elif isinstance(node, list):
        children = list(enumerate(node))
    for key, value in children:
        yield (*path, key)
        yield from places_in(value, (*path, key))


def parent_of(document: Any, path: tuple[str | int, ...]) -> Any:
    """Return what holds the value at the end of *path*; None where the way there was lost to an earlier change."""
    for step in path[:-1]:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return None
    last = path[-1]
    if isinstance(document, dict):
        return document
    return document if isinstance(document, list) and isinstance(last, int) and last < len(document) else None


@st.composite
def spoiled(draw: st.DrawFn, base: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = copy.deepcopy(base)
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            steps = f"request.{draw(PLACES)}".split(".")
            path: tuple[str | int, ...] = tuple(int(step) if step.isdecimal() else step for step in steps)
        else:
            path = draw(st.sampled_from(list(places_in(body))))
        holder, last = parent_of(body, path), path[-1]
        if holder is None:
            continue
        change = draw(st.sampled_from(["replace", "replace", "drop", "double", "wrap", "rename"]))
        _change(holder, last, change, draw(VALUES))
    return body


def _change(holder: Any, last: Any, change: str, value: object) -> None:
    present = last in holder if isinstance(holder, dict) else True
    if change == "replace" or not present:
        holder[last] = copy.deepcopy(value)
    elif change == "drop":
        del holder[last]
    elif change == "double" and isinstance(holder[last], list):
        holder[last] = holder[last] * 2
    elif change == "rename" and isinstance(holder, dict):
        holder[last.upper()] = holder.pop(last)
    else:
        holder[last] = [holder[last]]


def obeys(server: Server, posted: bytes) -> None:
    status, answered = server.post(posted)
    try:
        lawful = is_lawful(posted, status, answered)
    except (Unreadable, KeyError, TypeError, AttributeError, ValueError):
        lawful = False  # what this count cannot read must not be allowed
    assert lawful, (status, answered)


def as_bytes(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def with_cpu(cpu: str) -> dict[str, Any]:
    body: dict[str, Any] = copy.deepcopy(CREATED)
    body["request"]["object"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
    return body


def with_group(name: str) -> dict[str, Any]:
    """Return a creation by a person who is in this group, too, with a stamp that leaves it out."""
    body: dict[str, Any] = copy.deepcopy(CREATED)
    body["request"]["userInfo"]["groups"].append(name)
    return body


LAW = settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def test_the_reviews_as_they_were_recorded_are_answered_as_they_should_be(server: Server) -> None:
    """Were all of them refused, the law below would hold and say nothing."""
    verdicts = [json.loads(server.post(as_bytes(body))[1])["response"]["allowed"] for body in (CREATED, RESIZED, BOUND)]

    assert verdicts == [True, False, False]
    assert [may_be_allowed(body) for body in (CREATED, RESIZED, BOUND)] == verdicts


@LAW
@given(spoiled(CREATED))
@example(with_cpu("1.5"))
@example(with_cpu("1500000001n"))
@example(with_cpu("-1"))
@example(with_cpu("1e1000000000"))
@example(with_cpu("\uff11"))
@example(with_group("a" * 5000))
def test_a_spoiled_creation_obeys_the_law(server: Server, body: dict[str, Any]) -> None:
    obeys(server, as_bytes(body))


@LAW
@given(spoiled(RESIZED))
def test_a_spoiled_resize_obeys_the_law(server: Server, body: dict[str, Any]) -> None:
    obeys(server, as_bytes(body))


@settings(LAW, max_examples=100)
@given(spoiled(BOUND))
def test_a_spoiled_binding_obeys_the_law(server: Server, body: dict[str, Any]) -> None:
    obeys(server, as_bytes(body))


@LAW
@given(st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=0, max_size=3), st.integers(0, 3)), max_size=3))
def test_a_creation_with_spoiled_bytes_obeys_the_law(server: Server, edits: list[tuple[int, bytes, int]]) -> None:
    posted = as_bytes(CREATED)
    for place, written, over in edits:
        at = place % len(posted)
        posted = posted[:at] + written + posted[at + over :]
    obeys(server, posted)
