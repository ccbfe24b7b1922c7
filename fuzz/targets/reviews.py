"""
The whole path of a review: the bytes that an API server posts, and the reply.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import jsonpatch
import msgspec

from fuzz.target import BrokenPromiseError, Target, promise
from fuzz.targets.worlds import Standing, TellingLedger, policy, result_of
from webhook.quota.policy import Policy
from webhook.serving.replies import ADVICE, Replies, Reply
from webhook.wiring.application import answers
from webhook.wiring.file_kinds import kinds_under
from webhook.wiring.standalone import StandaloneCluster, reviewers

_AUDIT_KEY = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
"""The API server drops an annotation with another key."""

_LONGEST_AUDIT = 8192
"""Characters of one annotation: an event of the audit log has a few dozen kilobytes at most."""

_LONG = 1e9
"""A deadline that never comes."""


class _Named(msgspec.Struct):
    group: str = ""
    resource: str = ""


class _Asked(msgspec.Struct, rename={"sub_resource": "subResource"}):
    uid: str
    operation: str
    resource: _Named
    sub_resource: str | None = None


class _Outline(msgspec.Struct):
    request: _Asked


class Meter:
    """Keeps the defect that a reply hides, to raise it."""

    defect: BaseException | None = None

    def answered(self, path: str, verdict: str, seconds: float) -> None:
        """Count nothing."""

    def count_error(self, reason: str) -> None:
        """Keep what was raised if it is a defect."""
        if reason == "internal":
            self.defect = sys.exception()

    def render(self) -> bytes:
        """Return nothing."""
        return b""


class World:
    """Everything that answers reviews, over an empty cluster."""

    def __init__(self, make_ledger: Callable[[Policy], TellingLedger] = TellingLedger) -> None:
        self.policy = policy()
        self.kinds = kinds_under(self.policy)
        self.ledger = make_ledger(self.policy)
        self.meter = Meter()
        standing = Standing(self.policy)
        handler, advice = reviewers(StandaloneCluster(), standing, self.ledger, standing, self.kinds)
        self.replies = Replies(answers(handler, advice), self.meter)

    def reply(self, path: str, body: bytes) -> Reply:
        """Return the reply. Raises what is a defect of the webhook."""
        self.meter.defect = None
        self.ledger.clear()
        reply = result_of(self.replies.to(path, body, deadline=_LONG))
        if self.meter.defect is not None:
            raise self.meter.defect
        return reply


_world = cache(World)


def check_review(data: bytes) -> None:
    """Check the replies to one body at each path, and at the last two also to what the first makes of it."""
    check_in(_world(), data)


def check_in(world: World, data: bytes) -> None:
    """Check the replies of *world* to one body."""
    asked = asked_in(data)
    response = _checked(world, data, asked, "/mutate")
    bodies = [data]
    if response is not None and asked is not None and "patch" in response and "metadata" in (asked.get("object") or ""):
        bodies.append(_patched(data, json.loads(base64.b64decode(response["patch"]))))
    for body in bodies:
        for path in ("/validate", ADVICE):
            _checked(world, body, asked, path)


def _patched(data: bytes, patch: list[dict[str, Any]]) -> bytes:
    """Return the review of the object as the API server makes it by *patch*, which has to fit."""
    review = json.loads(data)
    review["request"]["object"] = jsonpatch.apply_patch(review["request"]["object"], patch)
    return json.dumps(review).encode()


def _checked(world: World, data: bytes, asked: dict[str, Any] | None, path: str) -> dict[str, Any] | None:
    """Return the response to *data*, None if there is an error in its place."""
    reply = world.reply(path, data)
    answer = json.loads(reply.body)
    if reply.status != 200:
        promise(reply.status in {400, 503}, "status", reply.status)
        promise(answer["kind"] == "Status" and answer["code"] == reply.status and answer["message"], "Status", answer)
        return None
    promise((answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview"), answer)
    response: dict[str, Any] = answer["response"]
    if asked is None:
        raise BrokenPromiseError("an answer to no request", data)
    promise(response["uid"] == asked.get("uid"), "uid", response["uid"], asked.get("uid"))
    _check_response(world, path, asked, response)
    return response


def asked_in(data: bytes) -> dict[str, Any] | None:
    """Return the request as the standard library reads it, or as msgspec does without its object if that fails."""
    try:
        review = json.loads(data)
    except (ValueError, RecursionError):
        try:
            read = dict(msgspec.to_builtins(msgspec.json.decode(data, type=_Outline).request))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return {**read, "may be a mirror": b"config.mirror" in data and b"system:nodes" in data}
    found = review.get("request") if isinstance(review, dict) else None
    return found if isinstance(found, dict) else None


def _check_response(world: World, path: str, asked: dict[str, Any], response: dict[str, Any]) -> None:
    for key, value in response.get("auditAnnotations", {}).items():
        promise(_AUDIT_KEY.fullmatch(key), "audit key", key)
        promise(len(value) <= _LONGEST_AUDIT, "audit value", key, len(value))
    if not response["allowed"]:
        status = response["status"]
        promise(status["message"] and status["code"] in {403, 409, 503}, "denial", status)
        return
    if "patch" in response:
        for step in json.loads(base64.b64decode(response["patch"])):
            promise(
                step["op"] in {"add", "remove"} and step["path"].startswith(("/metadata/annotations", "/spec/")), step
            )
    if path == "/validate" and _is_charged(world, asked):
        promise(world.ledger.decided or _is_mirror(asked), "allowed and not decided", asked.get("resource"))


def _is_charged(world: World, asked: dict[str, Any]) -> bool:
    """Whether a request creates an object of which the policy limits something."""
    resource = asked.get("resource")
    if asked.get("operation") != "CREATE" or asked.get("subResource") or not isinstance(resource, dict):
        return False
    plural, group = resource.get("resource"), resource.get("group", "")
    kind = world.kinds.of_resource(f"{plural}.{group}" if group else str(plural))
    return kind is not None and kind.is_charged


def _is_mirror(asked: dict[str, Any]) -> bool:
    """Whether a node reports a static pod."""
    if "may be a mirror" in asked:
        return bool(asked["may be a mirror"])
    meta = (asked.get("object") or {}).get("metadata") or {}
    user = asked.get("userInfo") or {}
    is_marked = "kubernetes.io/config.mirror" in (meta.get("annotations") or {})
    return is_marked and "system:nodes" in (user.get("groups") or ())


TARGETS = (
    Target(
        "review",
        "`serving/replies.py` and all beneath it, at `/mutate`, `/validate` and `/advise`",
        "an AdmissionReview with the uid of the request, or 400 or 503 with a reason; never an internal error; what is "
        "created and counts is allowed only after the ledger has decided; patches stay in annotations and spec; audit "
        "annotations have valid keys and a bounded size",
        check_review,
        ("tests/admission/reviews/*.json", "examples/reviews/*.json"),
        longest=8192,
        mutations=500,
    ),
)
