"""One object gets another owner: what each answer of an API server means, and which are asked again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localcluster.controlplane import ControlPlane
from tests.kube.scripted import server
from tests.kube.test_object_list import create_pod
from webhook.kinds.pods import PODS
from webhook.kube.api import KubernetesApi
from webhook.kube.owner_changes import Answer, Changed, NewOwner, OwnerChanges
from webhook.ports import UnavailableError
from webhook.quota.objects import AnyObject, ObjectMeta

BOB = NewOwner("bob")
HERS = {"userquota.dev/owner": "alice", "userquota.dev/groups": '["ml"]'}
PATCH = "PATCH /api/v1/namespaces/red/pods/web?fieldManager=userquota-adopt HTTP/1.1"
GET = "GET /api/v1/namespaces/red/pods/web HTTP/1.1"


def web(owner: str = "alice", groups: str | None = "[]", *, uid: str = "u", version: int = 1) -> dict[str, Any]:
    annotations = {"userquota.dev/owner": owner} | ({} if groups is None else {"userquota.dev/groups": groups})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web",
            "namespace": "red",
            "uid": uid,
            "resourceVersion": str(version),
            "annotations": annotations,
        },
    }


def meta_of(document: object) -> ObjectMeta:
    return msgspec.convert(document, AnyObject).metadata


def answer(status: int, document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %d Whatever\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def failure(status: int, message: str = "why", reason: str = "") -> bytes:
    return answer(status, {"kind": "Status", "message": message, "reason": reason, "code": status})


def answer_with(version: int) -> bytes:
    """Return the answer to a read of the object at *version*, which still is alice's."""
    return answer(200, web(version=version))


MOVED = answer(200, web("bob"))
NOT_READY = failure(500, 'failed calling webhook "mutate.userquota.dev": 503')
CONFLICT = failure(409, "the object has been modified", "Conflict")
LONG = "exceeded quota: " + "requests.cpu=1," * 40

CASES: dict[str, tuple[list[bytes], Changed, list[str]]] = {
    "it is done": ([MOVED], Changed(Answer.DONE), [PATCH]),
    "a webhook that is not ready is asked again": ([NOT_READY, NOT_READY, MOVED], Changed(Answer.DONE), [PATCH] * 3),
    "so is a busy server": ([failure(429), MOVED], Changed(Answer.DONE), [PATCH] * 2),
    "an answer that was lost is found in the object": (
        [b"", CONFLICT, MOVED],
        Changed(Answer.DONE),
        [PATCH, PATCH, GET],
    ),
    "after a conflict the object is read again": (
        [CONFLICT, answer(200, web(version=2)), MOVED],
        Changed(Answer.DONE),
        [PATCH, GET, PATCH],
    ),
    "another object of the name is not changed": (
        [CONFLICT, answer(200, web(uid="v"))],
        Changed(Answer.GONE),
        [PATCH, GET],
    ),
    "somebody else was faster": (
        [CONFLICT, answer(200, web("dave"))],
        Changed(Answer.OTHER_OWNER, "dave"),
        [PATCH, GET],
    ),
    "it is gone": ([failure(404)], Changed(Answer.GONE), [PATCH]),
    "it is gone after a conflict": ([CONFLICT, failure(404)], Changed(Answer.GONE), [PATCH, GET]),
    "a refusal is told whole, without what the API server writes before it": (
        [failure(403, f'admission webhook "validate.userquota.dev" denied the request: {LONG}')],
        Changed(Answer.REFUSED, LONG),
        [PATCH],
    ),
    "a right that is missing": (
        [failure(403, "bob cannot patch")],
        Changed(Answer.REFUSED, "bob cannot patch"),
        [PATCH],
    ),
    "an object that is not valid": ([failure(422, "wrong")], Changed(Answer.REFUSED, "wrong"), [PATCH]),
    "nobody asked userquota": (
        [answer(200, web("bob", None))],
        Changed(Answer.REFUSED, "the API server did not ask userquota about it"),
        [PATCH],
    ),
    "userquota left it as it was": (
        [answer(200, web("alice"))],
        Changed(Answer.REFUSED, "the API server did not ask userquota about it"),
        [PATCH],
    ),
}


class Pauses:
    """Waits for nothing, and remembers how long it should have."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def __call__(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(("answers", "changed", "requests"), CASES.values(), ids=CASES.keys())
async def test_what_an_answer_means(
    answers: list[bytes], changed: Changed, requests: list[str], tmp_path: Path
) -> None:
    async with server(answers, tmp_path) as (api, scripted):
        changes = OwnerChanges(api, sleep=Pauses())
        found = await changes.change(PODS, meta_of(web()), BOB, expected="alice")

        assert (found.answer, found.text) == (changed.answer, changed.text)
        assert scripted.requests == requests


async def test_a_webhook_that_stays_away_is_no_answer_after_some_seconds(tmp_path: Path) -> None:
    pauses = Pauses()
    async with server([NOT_READY] * 9, tmp_path) as (api, scripted):
        with pytest.raises(UnavailableError, match=r"^pods web: failed calling webhook"):
            await OwnerChanges(api, sleep=pauses).change(PODS, meta_of(web()), BOB, expected="alice")

        assert len(scripted.requests) == 6
    assert 10 < pauses.seconds < 30


async def test_an_object_that_changes_all_the_time_is_changed_without_long_pauses(tmp_path: Path) -> None:
    changed = [answer for version in range(2, 14) for answer in (CONFLICT, answer_with(version))]
    pauses = Pauses()
    async with server([*changed, MOVED], tmp_path) as (api, scripted):
        found = await OwnerChanges(api, sleep=pauses).change(PODS, meta_of(web()), BOB, expected="alice")

        assert found.answer is Answer.DONE
        assert scripted.requests == [*([PATCH, GET] * 12), PATCH]
    assert pauses.seconds < 1


async def test_an_object_that_changes_without_end_is_no_answer(tmp_path: Path) -> None:
    changed = [answer for version in range(2, 60) for answer in (CONFLICT, answer_with(version))]
    async with server(changed, tmp_path) as (api, _):
        with pytest.raises(UnavailableError, match=r"^pods web: the object has been modified"):
            await OwnerChanges(api, sleep=Pauses()).change(PODS, meta_of(web()), BOB, expected="alice")


@pytest.mark.parametrize("answered", [failure(401), answer(200, [])], ids=["a token that is refused", "no object"])
async def test_what_says_nothing_of_the_object_is_no_answer(answered: bytes, tmp_path: Path) -> None:
    async with server([answered] * 2, tmp_path) as (api, _):
        with pytest.raises(UnavailableError):
            await OwnerChanges(api, sleep=Pauses()).change(PODS, meta_of(web()), BOB, expected="alice")


@pytest.mark.parametrize(
    ("groups", "manager"),
    [(None, "userquota-adopt"), ((), "userquota-adopt-groups"), (("ml",), "userquota-adopt-groups")],
)
async def test_the_field_manager_says_whether_groups_are_given(
    groups: tuple[str, ...] | None, manager: str, tmp_path: Path
) -> None:
    async with server([MOVED], tmp_path) as (api, scripted):
        await OwnerChanges(api).change(PODS, meta_of(web()), NewOwner("bob", groups), expected="alice")

    assert f"fieldManager={manager} " in f"{scripted.requests[0]} ".replace("&", " ").replace("'", " ")


async def test_on_a_real_server_a_dry_run_changes_nothing_and_an_old_version_does_not_matter(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    """No webhook here: what is written is what is sent."""
    old = meta_of(create_pod(control_plane, namespace, "web", HERS))
    to, changes = NewOwner("bob", ("a", "b")), OwnerChanges(api, sleep=Pauses())
    control_plane.kubectl("annotate", "pod", "web", "-n", namespace, "note=newer")

    def stamp() -> dict[str, str]:
        found = control_plane.kubectl("get", "pod", "web", "-n", namespace, "-o", "json").stdout
        annotations: dict[str, str] = json.loads(found)["metadata"]["annotations"]
        return annotations

    asked = await changes.change(PODS, old, to, expected="alice", dry_run=True)
    assert (asked.answer, stamp()) == (Answer.DONE, {**HERS, "note": "newer"})
    assert (await changes.change(PODS, old, to, expected="alice")).answer is Answer.DONE
    assert stamp() == {"userquota.dev/owner": "bob", "userquota.dev/groups": '["a","b"]', "note": "newer"}
    assert (await changes.change(PODS, old, NewOwner("eve"), expected="alice")) == Changed(Answer.OTHER_OWNER, "bob")

    control_plane.kubectl("delete", "pod", "web", "-n", namespace, "--force", "--grace-period=0")
    assert (await changes.change(PODS, old, to, expected="bob")).answer is Answer.GONE
    create_pod(control_plane, namespace, "web", HERS)
    assert (await changes.change(PODS, old, to, expected="alice")).answer is Answer.GONE
