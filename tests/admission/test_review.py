"""
Bodies of AdmissionReviews, valid ones of a real API server and invalid ones, and the exact bytes of responses.

The files in reviews/ were recorded from Kubernetes 1.37.2; the stamps in them are those that this webhook writes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from webhook.admission import review
from webhook.admission.review import AdmissionResponse, ReviewError
from webhook.kinds.pod_shapes import Pod
from webhook.quota.message import Cause
from webhook.quota.objects import AnyObject, PatchOperation

REVIEWS = Path(__file__).parent / "reviews"
RECORDED = sorted(path.name for path in REVIEWS.glob("*.json"))
CONTROLLER = "system:serviceaccount:kube-system"


@dataclass(frozen=True)
class Recorded:
    """The expected content of a recorded review."""

    resource: str
    operation: str
    user: str
    sub_resource: str | None = None
    dry_run: bool = False


EXPECTED = {
    "deployment-created-by-alice.mutate.json": Recorded("deployments.apps", "CREATE", "alice"),
    "deployment-scaled-by-alice.json": Recorded("deployments.apps", "UPDATE", "alice", "scale"),
    "job-of-a-cronjob.json": Recorded("jobs.batch", "CREATE", f"{CONTROLLER}:cronjob-controller"),
    "mirror-pod-by-a-node.json": Recorded("pods", "CREATE", "system:node:n1"),
    "owner-changed-by-alice.json": Recorded("pods", "UPDATE", "alice"),
    "owner-changed-by-alice.mutate.json": Recorded("pods", "UPDATE", "alice"),
    "pod-adopted-by-a-replicaset.json": Recorded("pods", "UPDATE", f"{CONTROLLER}:replicaset-controller"),
    "pod-adopted-by-a-replicaset.mutate.json": Recorded("pods", "UPDATE", f"{CONTROLLER}:replicaset-controller"),
    "pod-bound-at-the-older-address.json": Recorded("bindings", "CREATE", "admin"),
    "pod-bound.json": Recorded("pods", "CREATE", "admin", "binding"),
    "pod-created-by-alice.dry-run.json": Recorded("pods", "CREATE", "alice", dry_run=True),
    "pod-created-by-alice.json": Recorded("pods", "CREATE", "alice"),
    "pod-created-by-alice.mutate.json": Recorded("pods", "CREATE", "alice"),
    "pod-deleted-by-alice.json": Recorded("pods", "DELETE", "alice"),
    "pod-evicted.json": Recorded("pods", "CREATE", "admin", "eviction"),
    "pod-of-a-job.json": Recorded("pods", "CREATE", f"{CONTROLLER}:job-controller"),
    "pod-of-a-replicaset.json": Recorded("pods", "CREATE", f"{CONTROLLER}:replicaset-controller"),
    "pod-of-a-replicaset.mutate.json": Recorded("pods", "CREATE", f"{CONTROLLER}:replicaset-controller"),
    "pod-of-a-statefulset.json": Recorded("pods", "CREATE", f"{CONTROLLER}:statefulset-controller"),
    "pod-orphaned-by-the-garbage-collector.json": Recorded("pods", "UPDATE", f"{CONTROLLER}:generic-garbage-collector"),
    "pod-resized-by-alice.json": Recorded("pods", "UPDATE", "alice", "resize"),
    "pod-status-by-a-node.json": Recorded("pods", "UPDATE", "system:node:n1", "status"),
    "pod-with-a-forged-owner.mutate.json": Recorded("pods", "CREATE", "alice"),
    "pod-with-a-generated-name.json": Recorded("pods", "CREATE", "alice"),
    "replicaset-of-a-deployment.mutate.json": Recorded(
        "replicasets.apps", "CREATE", f"{CONTROLLER}:deployment-controller"
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_review_of_a_real_api_server_is_read(name: str) -> None:
    body = (REVIEWS / name).read_bytes()

    request = review.decode(body)

    read = Recorded(
        str(request.resource),
        request.operation,
        request.user_info.username,
        request.sub_resource,
        dry_run=bool(request.dry_run),
    )
    assert read == EXPECTED[name]
    assert request.uid == json.loads(body)["request"]["uid"]
    assert request.namespace == "work"


def test_the_decoded_object_keeps_payer_and_amounts() -> None:
    request = review.decode((REVIEWS / "pod-of-a-replicaset.json").read_bytes())

    pod = request.decode(Pod)

    assert pod.metadata.annotations is not None
    assert pod.metadata.annotations.owner == "alice"
    assert pod.metadata.annotations.groups == '["ml","people","staff"]'
    assert pod.metadata.controller is not None
    assert (pod.metadata.controller.kind, pod.metadata.controller.name) == ("ReplicaSet", "web-59464cc7d7")
    assert pod.spec.containers is not None
    assert json.loads(bytes(pod.spec.containers[0].resources)) == {
        "limits": {"cpu": "4", "memory": "1Gi"},
        "requests": {"cpu": "1", "memory": "1Gi"},
    }


def test_a_deletion_has_no_object_and_says_so_when_asked_for_it() -> None:
    request = review.decode((REVIEWS / "pod-deleted-by-alice.json").read_bytes())

    assert request.decode_old(AnyObject).metadata.name == "notebook"
    with pytest.raises(ReviewError, match=r"^request\.object is missing$") as raised:
        request.decode(AnyObject)
    assert raised.value.uid == request.uid


# Invalid bodies.

GOOD = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "u-1",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "userInfo": {"username": "alice"},
    },
}


def text_of(request: object = GOOD["request"], **envelope: object) -> str:
    return json.dumps({**GOOD, "request": request, **envelope})


def with_request(**fields: object) -> str:
    return text_of({**GOOD["request"], **fields})  # type: ignore[dict-item]


def with_raw(field: str, raw: str) -> str:
    """Return a review with *raw* inserted verbatim for a value."""
    return with_request(**{field: "RAW"}).replace('"RAW"', raw)


BYTE = re.compile(r" \(byte [0-9]+\)$")
"""Where the decoder stopped. It moves with every field of the review, and no client depends on it."""

DEEP = 100_000
MILLION = 10**6

UNREADABLE = {
    "an empty body": ("", "the body is no AdmissionReview: Input data was truncated", ""),
    "spaces": ("  \n", "the body is no AdmissionReview: Input data was truncated", ""),
    "no JSON": ("nonsense", "the body is no AdmissionReview: JSON is malformed: invalid character", ""),
    "half a review": (text_of()[:-2], "the body is no AdmissionReview: Input data was truncated", ""),
    "trailing garbage": (
        text_of() + "x",
        "the body is no AdmissionReview: JSON is malformed: trailing characters",
        "",
    ),
    "two reviews": (
        text_of() * 2,
        "the body is no AdmissionReview: JSON is malformed: trailing characters",
        "",
    ),
    "a list": ("[]", "the body is no AdmissionReview: Expected `object`, got `array`", ""),
    "null": ("null", "the body is no AdmissionReview: Expected `object`, got `null`", ""),
    "a number": ("1", "the body is no AdmissionReview: Expected `object`, got `int`", ""),
    "nothing in it": ("{}", "expected admission.k8s.io/v1, AdmissionReview; got no apiVersion, no kind", ""),
    "the old version": (
        text_of(apiVersion="admission.k8s.io/v1beta1"),
        "expected admission.k8s.io/v1, AdmissionReview; got admission.k8s.io/v1beta1, AdmissionReview",
        "u-1",
    ),
    "another kind": (
        text_of(kind="ConversionReview"),
        "expected admission.k8s.io/v1, AdmissionReview; got admission.k8s.io/v1, ConversionReview",
        "u-1",
    ),
    "no request": (
        json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}),
        "request or request.uid is missing",
        "",
    ),
    "a null request": (text_of(None), "request or request.uid is missing", ""),
    "an empty request": (
        text_of({}),
        "the body is no AdmissionReview: Object missing required field `uid` - at `$.request`",
        "",
    ),
    "an empty uid": (with_request(uid=""), "request or request.uid is missing", ""),
    "a uid that is a number": (
        with_request(uid=5),
        "the body is no AdmissionReview: Expected `str`, got `int` - at `$.request.uid`",
        "",
    ),
    "no user": (
        text_of({"uid": "u-1", "resource": {}, "operation": "CREATE"}),
        "the body is no AdmissionReview: Object missing required field `userInfo` - at `$.request`",
        "u-1",
    ),
    "groups that are one text": (
        with_request(userInfo={"username": "alice", "groups": "ml"}),
        "the body is no AdmissionReview: Expected `array | null`, got `str` - at `$.request.userInfo.groups`",
        "u-1",
    ),
    "a dry run that is a text": (
        with_request(dryRun="true"),
        "the body is no AdmissionReview: Expected `bool | null`, got `str` - at `$.request.dryRun`",
        "u-1",
    ),
    "no resource": (with_request(resource={}), "request.resource.resource is missing", "u-1"),
    "an unknown operation": (
        with_request(operation="create"),
        "request.operation is none of CREATE, UPDATE, DELETE, CONNECT",
        "u-1",
    ),
    "no operation": (
        with_request(operation=""),
        "request.operation is none of CREATE, UPDATE, DELETE, CONNECT",
        "u-1",
    ),
    "NaN": (
        with_raw("object", '{"metadata": NaN}'),
        "the body is no AdmissionReview: JSON is malformed: invalid character",
        "",
    ),
    "half of a surrogate pair": (
        with_raw("name", '"\\ud800"'),
        "the body is no AdmissionReview: Input data was truncated",
        "",
    ),
    "depth in an ignored field": (
        with_raw("requestKind", "[" * DEEP + "]" * DEEP),
        "the body is no AdmissionReview: maximum recursion depth exceeded while deserializing an object",
        "",
    ),
    "depth in the object": (
        with_raw("object", '{"a":' * DEEP + "1" + "}" * DEEP),
        "the body is no AdmissionReview: maximum recursion depth exceeded while deserializing an object",
        "",
    ),
    "depth without an end": (
        '{"request":' * DEEP,
        "the body is no AdmissionReview: maximum recursion depth exceeded while deserializing an object",
        "",
    ),
}


@pytest.mark.parametrize(("body", "message", "uid"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_invalid_review_is_rejected_with_the_reason(body: str, message: str, uid: str) -> None:
    with pytest.raises(ReviewError) as raised:
        review.decode(body.encode())

    assert (BYTE.sub("", str(raised.value)), raised.value.uid) == (message, uid)


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"\xef\xbb\xbf" + text_of().encode(), text_of().encode("utf-16"), text_of().encode() + b"\0"],
    ids=["no UTF-8", "a byte order mark", "UTF-16", "a NUL at the end"],
)
def test_bytes_that_are_no_json_text_are_refused(body: bytes) -> None:
    with pytest.raises(ReviewError, match=r"^the body is no AdmissionReview: "):
        review.decode(body)


def test_a_name_that_is_no_utf_8_is_refused() -> None:
    body = with_request(name="NAME").encode().replace(b"NAME", b"\xff")

    with pytest.raises(ReviewError, match=r"^the body is no AdmissionReview: .*can't decode byte 0xff"):
        review.decode(body)


def test_of_a_key_given_twice_the_last_one_counts_as_it_does_for_go() -> None:
    body = with_request(name="first").replace('"name": "first"', '"name": "first", "name": "last"')

    assert review.decode(body.encode()).name == "last"


def test_ignored_fields_may_have_any_value() -> None:
    body = with_raw("options", '{"n": ' + "7" * MILLION + ', "s": "\\u0000", "l": [1e400, null]}')

    assert review.decode(body.encode()).uid == "u-1"


OBJECT_MISTAKES = {
    "missing": ("", "request.object is missing"),
    "null": ("null", "request.object is missing"),
    "a list": ("[]", "request.object cannot be read: Expected `object`, got `array`"),
    "annotations that are a list": (
        '{"metadata": {"annotations": []}}',
        "request.object cannot be read: Expected `object | null`, got `array` - at `$.metadata.annotations`",
    ),
    "an owner that is a number": (
        '{"metadata": {"annotations": {"userquota.dev/owner": 1}}}',
        (
            "request.object cannot be read: "
            "Expected `str | null`, got `int` - at `$.metadata.annotations.userquota.dev/owner`"
        ),
    ),
    "containers that are no objects": (
        '{"spec": {"containers": [[]]}}',
        "request.object cannot be read: Expected `object`, got `array` - at `$.spec.containers[0]`",
    ),
    "a phase of a million digits": (
        '{"status": {"phase": ' + "7" * MILLION + "}}",
        "request.object cannot be read: Number out of range - at `$.status.phase`",
    ),
}


@pytest.mark.parametrize(("raw", "message"), OBJECT_MISTAKES.values(), ids=OBJECT_MISTAKES.keys())
def test_an_object_of_another_shape_is_rejected_with_the_field(raw: str, message: str) -> None:
    request = review.decode((with_raw("object", raw) if raw else text_of()).encode())

    with pytest.raises(ReviewError) as raised:
        request.decode(Pod)

    assert (str(raised.value), raised.value.uid) == (message, "u-1")


def test_an_object_with_a_name_that_is_no_utf_8_is_refused() -> None:
    body = with_raw("object", '{"metadata": {"name": "NAME"}}').encode().replace(b"NAME", b"\xff")

    with pytest.raises(ReviewError, match=r"^request.object cannot be read: "):
        review.decode(body).decode(Pod)


# Responses.

HEAD = '{"response":'
TAIL = ',"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}'
STEPS = [PatchOperation("/metadata/annotations", {"a": "b"}), PatchOperation("/metadata/annotations/c~1d", 'e"')]

ANSWERS: dict[str, tuple[AdmissionResponse, str]] = {
    "allowed": (review.allowed("u-1"), '{"uid":"u-1","allowed":true}'),
    "allowed with every field": (
        review.allowed("u-1", warnings=["w"], audit={"owner": "alice"}),
        '{"uid":"u-1","allowed":true,"warnings":["w"],"auditAnnotations":{"owner":"alice"}}',
    ),
    "denied": (
        review.denied("u-1", 'no "room"'),
        (
            '{"uid":"u-1","allowed":false,'
            '"status":{"status":"Failure","code":403,"reason":"Forbidden","message":"no \\"room\\""}}'
        ),
    ),
    "denied with causes": (
        review.denied("u-1", "no", causes=[Cause("QuotaExceeded", "why", "pods")], audit={"owner": "é"}),
        (
            '{"uid":"u-1","allowed":false,'
            '"status":{"status":"Failure","code":403,"reason":"Forbidden","message":"no",'
            '"details":{"causes":[{"reason":"QuotaExceeded","message":"why","field":"pods"}]}},'
            '"auditAnnotations":{"owner":"é"}}'
        ),
    ),
    "failed": (
        review.failed("u-1", "a bug"),
        (
            '{"uid":"u-1","allowed":false,'
            '"status":{"status":"Failure","code":500,"reason":"InternalError","message":"a bug"}}'
        ),
    ),
    "patched": (
        review.patched("u-1", STEPS),
        (
            '{"uid":"u-1","allowed":true,"patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL21ldGFkYXRhL2Fubm90YXRpb25zIiwidmFsdWUiOnsiYSI'
            "6ImIifX0seyJvcCI6ImFkZCIsInBhdGgiOiIvbWV0YWRhdGEvYW5ub3RhdGlvbnMvY34xZCIsInZhbHVlIjoiZVwiIn1d"
            '","patchType":"JSONPatch"}'
        ),
    ),
    "patched with nothing, which is allowed": (review.patched("u-1", []), '{"uid":"u-1","allowed":true}'),
}


@pytest.mark.parametrize(("response", "text"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_has_exactly_these_bytes(response: AdmissionResponse, text: str) -> None:
    assert review.encode(response).decode() == HEAD + text + TAIL
