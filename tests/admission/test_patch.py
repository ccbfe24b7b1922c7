"""A patch of ours, applied without an API server, does what an API server makes of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonpatch
import pytest

from webhook.admission import review
from webhook.admission.patch import applied, steps_of
from webhook.attribution.stamp import stamping
from webhook.quota.objects import Annotations, ObjectMeta, PatchOperation
from webhook.quota.subject import Payer

DOCUMENT: dict[str, Any] = {
    "metadata": {"annotations": {"userquota.dev/owner": "bob", "a/b~c": "1"}},
    "spec": {"containers": [{"name": "a"}, {"name": "b", "resources": {"requests": {"cpu": "1"}}}]},
}
PATCHES = {
    "nothing": (),
    "a stamp is replaced": (PatchOperation("/metadata/annotations/userquota.dev~1owner", "alice"),),
    "one is taken away": (PatchOperation("/metadata/annotations/a~1b~0c"),),
    "a container gets requests": (PatchOperation("/spec/containers/0/resources", {"requests": {"cpu": "1"}}),),
    "another gets limits beside them": (
        PatchOperation("/spec/containers/1/resources/limits", {"cpu": "2"}),
        PatchOperation("/spec/containers/1/resources/requests/memory", "1Gi"),
    ),
    "a stamp where there are annotations": tuple(
        stamping(ObjectMeta(annotations=Annotations(owner="bob")), Payer("alice", ("ml",)))
    ),
}


@pytest.mark.parametrize("steps", PATCHES.values(), ids=PATCHES)
def test_it_is_applied_as_by_another_library(steps: tuple[PatchOperation, ...]) -> None:
    response = review.patched("call", steps)
    before = json.dumps(DOCUMENT)
    wanted = DOCUMENT if response.patch is None else jsonpatch.apply_patch(DOCUMENT, base64.b64decode(response.patch))

    assert steps_of(response) == steps
    assert applied(DOCUMENT, steps_of(response)) == wanted
    assert json.dumps(DOCUMENT) == before


def test_an_object_without_annotations_is_stamped() -> None:
    steps = tuple(stamping(ObjectMeta(), Payer("alice")))
    stamp = {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"}
    assert applied({"metadata": {"name": "x"}}, steps) == {"metadata": {"name": "x", "annotations": stamp}}
