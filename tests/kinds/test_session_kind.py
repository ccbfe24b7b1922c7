"""What a session costs as an object, and how large it is: one place, whatever its pods are."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.kinds.evaluator import Size, UncountableError
from webhook.kinds.session_kind import SessionEvaluator, SessionObject
from webhook.quota.delegation import Texts
from webhook.quota.objects import OwnerReference
from webhook.quota.presets import Preset
from webhook.quota.quantity import NANOS

ONE = ("count/notebooks.kubeflow.org", NANOS)
A_SESSION = ("sessions", NANOS)
STOPPED = {"kubeflow-resource-stopped": "now"}


def preset(text: str = "kubeflow-notebook") -> Preset:
    policy = read_policy([PolicyText("p", f"version: 1\nsessions: {{presets: [{text}]}}\n")]).policy
    assert policy is not None
    [found] = policy.presets
    return found


def evaluator(*, frees_stopped: bool = False, is_session: bool = False) -> SessionEvaluator:
    return SessionEvaluator(ONE[0], [preset()], frees_stopped=frees_stopped, is_session=lambda _: is_session)


def notebook(cpu: object = "1", **metadata: object) -> SessionObject:
    containers = [{"name": "n", "resources": {"requests": {"cpu": cpu}}}]
    document = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "Notebook",
        "metadata": {"name": "n", "namespace": "red", "uid": "u", **metadata},
        "spec": {"template": {"spec": {"containers": containers}}},
    }
    return msgspec.json.decode(json.dumps(document), type=SessionObject)


def test_a_session_has_a_place_whether_it_runs_or_not() -> None:
    assert evaluator().usage(notebook(), now=None) == (ONE, A_SESSION)
    assert evaluator().usage(notebook(annotations=STOPPED), now=None) == (ONE, A_SESSION)


def test_a_stopped_one_gives_its_place_back_if_the_policy_says_so() -> None:
    frees = evaluator(frees_stopped=True)
    assert frees.usage(notebook(), now=None) == (ONE, A_SESSION)
    assert frees.usage(notebook(annotations=STOPPED), now=None) == (ONE,)


@pytest.mark.parametrize("frees_stopped", [False, True])
def test_one_that_has_ended_has_no_place(*, frees_stopped: bool) -> None:
    ended = SessionEvaluator(
        "count/sessions.stream.space", [preset("streamspace")], frees_stopped=frees_stopped, is_session=lambda _: False
    )

    def places(state: str) -> int:
        spec = {"user": "ada", "state": state, "resources": {"cpu": "1"}}
        document = {"apiVersion": "stream.space/v1alpha1", "kind": "Session", "metadata": {"name": "s"}, "spec": spec}
        read = msgspec.json.decode(json.dumps(document), type=SessionObject)
        return int(dict(ended.usage(read, now=None)).get("sessions", 0)) // NANOS

    assert [places(state) for state in ("running", "hibernated", "terminated")] == [1, 0 if frees_stopped else 1, 0]


def test_one_that_another_session_makes_is_part_of_that_one() -> None:
    owner = {"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "x", "controller": True}
    inner = notebook(ownerReferences=[owner])
    assert evaluator(is_session=True).usage(inner, now=None) == (ONE,)
    assert evaluator(is_session=True).size(inner) is None
    assert evaluator(is_session=False).usage(inner, now=None) == (ONE, A_SESSION)
    assert evaluator(is_session=True).usage(notebook(), now=None) == (ONE, A_SESSION)


@pytest.mark.parametrize("annotations", [{}, STOPPED], ids=["running", "stopped"])
def test_its_size_is_that_of_its_pods(annotations: dict[str, str]) -> None:
    size = evaluator().size(notebook("2500m", annotations=annotations))

    pods = (("count/pods", NANOS), ("pods", NANOS), ("requests.cpu", 2_500_000_000))
    assert size == Size(pods, not annotations, ((("notebook-name", "n"),),))


def test_without_a_preset_it_is_an_object_like_any_other() -> None:
    plain = evaluator()
    assert plain.read_by((), frees_stopped=False)
    assert plain.usage(notebook(), now=None) == (ONE,)
    assert plain.size(notebook()) is None
    assert plain.user_of(notebook(), Texts("red", {}, {}, {}, {})) is None


def test_of_several_presets_the_first_that_matches_reads_it() -> None:
    when, pods = "{field: spec.colour, operator: In, values: [red]}", "{label: red, value: name}"
    red = f"{{preset: kubeflow-notebook, name: red, match: [{when}], pods: [{pods}]}}"
    both = SessionEvaluator(ONE[0], [preset(red), preset()], frees_stopped=False, is_session=lambda _: False)
    size = both.size(notebook())
    assert size is not None
    assert size.pod_labels == ((("notebook-name", "n"),),)


def test_whose_it_is_by_the_marks_of_the_preset() -> None:
    texts = Texts("red", {}, {"owner": "carol"}, {}, {})
    creator = notebook(annotations={"notebooks.kubeflow.org/creator": "ada"})
    assert evaluator().user_of(creator, texts) == ("ada", "annotation notebooks.kubeflow.org/creator")
    assert evaluator().user_of(notebook(), texts) == ("carol", "namespaceAnnotation owner")


def test_what_cannot_be_read_is_named_and_counts_as_one() -> None:
    with pytest.raises(UncountableError, match=r"spec\.template\.spec\.containers\[0\]\.resources\.requests\.cpu"):
        evaluator().usage(notebook("much"), now=None)
    assert evaluator().unreadable == (ONE, A_SESSION)


def test_an_object_without_readable_metadata_does_not_fit_the_shape() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"apiVersion": "a/v1", "kind": "A", "metadata": {"name": 7}}', type=SessionObject)


@pytest.mark.parametrize("spec", [{"a": [1, {"b": "\u00e9"}]}, None, "text"], ids=str)
def test_its_json_is_what_it_was_decoded_from(spec: Any) -> None:
    document = {"apiVersion": "a/v1", "kind": "A\n", "metadata": {"name": "x"}, "spec": spec, "status": {"n": 1.5}}
    read = msgspec.json.decode(json.dumps({**document, "other": 1}), type=SessionObject)
    assert json.loads(read.body) == document


def test_an_owner_reference_leads_to_it() -> None:
    assert notebook(ownerReferences=[{"kind": "K", "controller": True}]).metadata.controller == OwnerReference(
        kind="K", controller=True
    )


def ray(replicas: int, most: int | None) -> SessionObject:
    containers = [{"name": "n", "resources": {"requests": {"cpu": "1"}}}]
    template = {"spec": {"containers": containers}}
    bounds = {} if most is None else {"maxReplicas": most}
    group = {"groupName": "g", "replicas": replicas, "template": template, **bounds}
    document = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "r", "namespace": "red", "uid": "u"},
        "spec": {"headGroupSpec": {"template": template}, "workerGroupSpecs": [group]},
    }
    return msgspec.json.decode(json.dumps(document), type=SessionObject)


@pytest.mark.parametrize(
    ("reserves", "most", "pods"),
    [(False, 9, 3), (True, 9, 10), (True, 2, 3), (True, 2**31 - 1, 3)],
    ids=["what it has", "what it may have", "it has all", "without a bound what it has"],
)
def test_where_room_is_kept_it_is_as_large_as_it_may_become(reserves: bool, most: int, pods: int) -> None:
    rays = SessionEvaluator(
        "count/rayclusters.ray.io",
        [preset("raycluster")],
        frees_stopped=False,
        is_session=lambda _: False,
        reserves=reserves,
    )
    size = rays.size(ray(2, most))
    assert size is not None
    assert (dict(size.amounts)["pods"], size.is_kept) == (pods * NANOS, reserves)
    assert not rays.read_by([preset("raycluster")], frees_stopped=False, reserves=reserves)
    assert rays.read_by([preset("raycluster")], frees_stopped=False, reserves=not reserves)
