"""What a preset reads from an object that is not as it should be: each kind of bad input has its own message."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.documents.preset_schema import PresetPart
from webhook.kinds.evaluator import PodDefaults, UncountableError
from webhook.kinds.session_marks import NamespaceTexts
from webhook.kinds.sessions import SessionReader, SessionReading
from webhook.quota.missing import Bounds
from webhook.quota.quantity import parse

DEFINITION: dict[str, Any] = {
    "name": "desk",
    "group": "example.com",
    "kind": "Desk",
    "plural": "desks",
    "versions": ["v1"],
    "user": [
        {"field": "spec.user"},
        {"label": "example.com/user", "pattern": "u-*", "decode": ["lower"]},
        {"namespaceAnnotation": "owner"},
    ],
    "groups": "spec.groups[*]",
    "resources": [
        {"name": "desk", "requests": ["spec.extra", {"cpu": "spec.cpu", "memory": "spec.memory ?? 1Gi"}]},
        {
            "name": "helpers",
            "each": "spec.helpers[*]",
            "podTemplate": "template",
            "times": "replicas ?? 1 * $.spec.factor ?? 1",
            "upTo": "most",
        },
    ],
    "stopped": [{"field": "spec.paused", "operator": "In", "values": [True]}],
    "pods": [{"label": "desk", "value": "uid"}],
}


def reader(**changes: object) -> SessionReader:
    return SessionReader(PresetPart.model_validate({**DEFINITION, **changes}).preset)


READER = reader()


def desk(spec: dict[str, Any] | None = None, **metadata: object) -> dict[str, Any]:
    given = {"user": "ada"} if spec is None else spec
    return {
        "apiVersion": "example.com/v1",
        "kind": "Desk",
        "metadata": {"name": "one", "namespace": "team", "uid": "u-1", **metadata},
        "spec": given,
    }


def read(body: object, *, by: SessionReader = READER, **annotations: str) -> SessionReading:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reading = by.read(raw, NamespaceTexts({}, annotations))
    assert reading is not None
    return reading


def amounts(reading: SessionReading) -> dict[str, object]:
    return dict(reading.amounts)


HELPER = {"template": {"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}}}]}}}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no user": (desk({}), "spec.user: nothing says whose session it is; tried field spec.user, label example.com/user"),
    "a user of null": (desk({"user": None}), "spec.user: nothing says whose session it is"),
    "an empty user": (desk({"user": ""}), "spec.user: nothing says whose session it is"),
    "a user of 1 KiB": (desk({"user": "a" * 1024}), "spec.user: the name is longer than 253 characters"),
    "a user with a line break": (desk({"user": "ada\nbob"}), "spec.user: the name has control characters"),
    "a user that is invisible": (desk({"user": "a\u200bda"}), "spec.user: the name has control characters"),
    "a user that is a number": (desk({"user": 7}), "spec.user: expected text, not the number 7"),
    "a user that is a list": (desk({"user": ["ada"]}), "spec.user: expected text, not an object or a list"),
    "a resource of null": (desk({"user": "ada", "cpu": None}), "spec.cpu: expected a quantity, not null"),
    "a resource that is true": (
        desk({"user": "ada", "cpu": True}),
        "spec.cpu: expected a quantity, not the truth value true",
    ),
    "a resource that is an object": (
        desk({"user": "ada", "cpu": {"a": 1}}),
        "spec.cpu: expected a quantity, not an object or a list",
    ),
    "a resource that is no quantity": (desk({"user": "ada", "cpu": "two"}), "spec.cpu: invalid quantity 'two'"),
    "a resource that is negative": (desk({"user": "ada", "cpu": "-1"}), "it must not be negative"),
    "a map with null": (
        desk({"user": "ada", "extra": {"cpu": None}}),
        "spec.extra.cpu: expected a quantity, not null",
    ),
    "a map with no quantity": (desk({"user": "ada", "extra": {"cpu": "x"}}), "spec.extra.cpu: invalid quantity 'x'"),
    "a map that is a list": (
        desk({"user": "ada", "extra": ["cpu"]}),
        "spec.extra: expected quantities by resource name",
    ),
    "a map that is a text": (
        desk({"user": "ada", "extra": "cpu"}),
        "spec.extra: expected fields, each with a value or a list, got text",
    ),
    "a negative multiplier": (
        desk({"user": "ada", "helpers": [{**HELPER, "replicas": -1}]}),
        "spec.helpers[0].replicas: -1 is negative",
    ),
    "a multiplier that is a text": (
        desk({"user": "ada", "helpers": [{**HELPER, "replicas": "3"}]}),
        "spec.helpers[0].replicas: expected a whole number, not a text",
    ),
    "a multiplier that is true": (
        desk({"user": "ada", "helpers": [{**HELPER, "replicas": True}]}),
        "spec.helpers[0].replicas: expected a whole number, not the truth value true",
    ),
    "a multiplier that is a fraction": (
        desk({"user": "ada", "helpers": [{**HELPER, "replicas": 1.5}]}),
        "spec.helpers[0].replicas: expected a whole number, not the number 1.5",
    ),
    "a multiplier of null": (
        desk({"user": "ada", "helpers": [HELPER, {**HELPER, "replicas": None}]}),
        "spec.helpers[1].replicas: expected a whole number, not null",
    ),
    "a multiplier of a thousand digits": (
        desk({"user": "ada", "helpers": [{**HELPER, "replicas": 10**1000}]}),
        "spec.helpers[0].replicas: the number has more than 19 digits",
    ),
    "no template": (
        desk({"user": "ada", "helpers": [{"replicas": 1}]}),
        "spec.helpers[0].template: there is no template of a pod",
    ),
    "a template whose spec is null": (
        desk({"user": "ada", "helpers": [{"template": {"spec": None}}]}),
        "spec.helpers[0].template: there is no template of a pod",
    ),
    "a container in a template": (
        desk(
            {
                "user": "ada",
                "helpers": [{"template": {"spec": {"containers": [{"resources": {"requests": {"cpu": "x"}}}]}}}],
            }
        ),
        "spec.helpers[0].template.spec.containers[0].resources.requests.cpu: invalid quantity 'x'",
    ),
    "containers that are a text": (
        desk({"user": "ada", "helpers": [{"template": {"spec": {"containers": "x"}}}]}),
        "spec.helpers[0].template.spec.containers: expected a list, got text",
    ),
    "helpers that are a number": (
        desk({"user": "ada", "helpers": 3}),
        "spec.helpers: expected fields, each with a value or a list, got a whole number",
    ),
    "another version": (
        {**desk(), "apiVersion": "example.com/v2"},
        "apiVersion: preset desk does not know example.com/v2, only example.com/v1",
    ),
    "another group": ({**desk(), "apiVersion": "v1"}, "kind: Desk of v1 is no Desk of example.com"),
    "another kind": ({**desk(), "kind": "Chair"}, "kind: Chair of example.com/v1 is no Desk of example.com"),
    "no kind": ({"metadata": {}}, "kind: absent"),
    "groups that are numbers": (
        desk({"user": "ada", "groups": ["a", 2]}),
        "spec.groups[1]: expected text, not the number 2",
    ),
    "a spec that is a list": ({**desk(), "spec": []}, "spec: expected fields, each with a value, got a list"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_object_is_told_by_its_field(name: str) -> None:
    body, told = BAD[name]

    with pytest.raises(UncountableError) as caught:
        read(body)

    assert str(caught.value).startswith(told) or told in str(caught.value)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the object: input data was truncated"),
        (b"null", "the object: it is null"),
        (b"[]", "the object: expected fields, each with a value, got a list"),
        (b'{"\xff": 1}', "kind: absent"),
        (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the object: it is nested too deeply"),
    ],
    ids=["empty", "null", "a list", "no UTF-8 in a field that is skipped", "100 000 brackets"],
)
def test_what_is_no_object_is_an_error(body: bytes, told: str) -> None:
    with pytest.raises(UncountableError) as caught:
        READER.read(body)

    assert str(caught.value).startswith(told)


def test_a_text_that_is_no_text_is_an_error() -> None:
    body = json.dumps(desk({"user": "ada?"})).encode().replace(b"?", b"\xff")

    with pytest.raises(UncountableError, match=r"spec.user: the text is no UTF-8"):
        READER.read(body)


def test_no_object_makes_a_reading_run_away() -> None:
    body = desk({"user": "ada", "helpers": [{**HELPER, "replicas": 0}] * 6000})

    with pytest.raises(UncountableError, match="more than 10000 values to look at"):
        read(body)


def test_the_largest_number_of_replicas_is_exact() -> None:
    reading = read(desk({"user": "ada", "factor": 3, "helpers": [{**HELPER, "replicas": 2**31 - 1}]}))

    pods = 3 * (2**31 - 1)
    assert reading.pods == pods + 1
    assert amounts(reading)["requests.cpu"] == pods * 10**8
    assert amounts(reading)["pods"] == (pods + 1) * 10**9


@pytest.mark.parametrize("most", [{}, {"most": 2**31 - 1}], ids=["absent", "the largest int32"])
def test_no_upper_bound_is_none(most: dict[str, int]) -> None:
    assert read(desk({"user": "ada", "helpers": [{**HELPER, **most}]})).most is None


def test_an_upper_bound_below_the_size_is_the_size() -> None:
    reading = read(desk({"user": "ada", "helpers": [{**HELPER, "replicas": 4, "most": 2}]}))

    assert reading.most == reading.amounts


def test_a_quantity_that_is_written_as_a_number_never_passes_a_float() -> None:
    body = json.dumps(desk({"user": "ada", "cpu": 0})).replace('"cpu": 0', '"cpu": 0.1').encode()

    assert amounts(read(body))["requests.cpu"] == 10**8


def test_a_default_counts_where_the_field_is_absent() -> None:
    assert amounts(read(desk()))["requests.memory"] == 2**30 * 10**9


def test_the_first_source_of_an_amount_counts() -> None:
    spec = {"user": "ada", "cpu": 1, "extra": {"cpu": 2, "example.com/dongle": 3, "example.com.misspelt": 4}}

    reading = read(desk(spec))

    assert amounts(reading)["requests.cpu"] == 2 * 10**9
    assert amounts(reading)["requests.example.com/dongle"] == 3 * 10**9


def test_marks_are_tried_in_their_order() -> None:
    labelled = desk({}, labels={"example.com/user": "u-ADA"})

    assert read(desk({"user": "bob"}, labels={"example.com/user": "u-ADA"})).user == ("bob", "field spec.user")
    assert read(labelled).user == ("ada", "label example.com/user")
    assert read(desk({}, labels={"example.com/user": "ADA"}), owner="eve").user == ("eve", "namespaceAnnotation owner")


def test_a_name_of_the_system_is_skipped() -> None:
    spec = {"user": "system:serviceaccount:che:che"}

    assert read(desk(spec), owner="eve").user == ("eve", "namespaceAnnotation owner")


def test_a_name_that_is_too_long_is_no_reason_to_ask_the_next_mark() -> None:
    with pytest.raises(UncountableError, match="longer than 253"):
        read(desk({"user": "a" * 254}), owner="eve")


def test_whoever_creates_it_is_the_user_only_where_the_preset_says_so() -> None:
    assert read(desk({}), by=reader(user=[{"field": "spec.user"}, {"requester": True}])).user is None


def test_the_size_of_an_object_with_a_stamp_does_not_depend_on_its_marks() -> None:
    body = json.dumps(desk({"user": "a" * 1024, "cpu": 1})).encode()

    reading = READER.read(body, is_attributed=True)

    assert reading is not None
    assert (reading.user, amounts(reading)["requests.cpu"]) == (None, 10**9)


def test_truth_values_and_texts_differ() -> None:
    assert read(desk({"user": "ada", "paused": True})).state.value == "stopped"
    assert read(desk({"user": "ada", "paused": "true"})).state.value == "running"
    assert read(desk({"user": "ada", "paused": 1})).state.value == "running"


def test_a_session_that_is_over_is_not_one_that_is_stopped() -> None:
    by = reader(ended=[{"field": "status.phase", "operator": "In", "values": ["Done"]}])
    body = {**desk({"user": "ada", "paused": True}), "status": {"phase": "Done"}}

    assert read(body, by=by).state.value == "ended"
    assert read(body, by=by).state_by == "status.phase In Done"
    assert read(body).state_by == "spec.paused In true"


def test_all_conditions_of_an_alternative_have_to_hold() -> None:
    both = [{"field": f"spec.{name}", "operator": "In", "values": [True]} for name in ("paused", "asleep")]
    by = reader(stopped=[{"all": both}])

    assert read(desk({"user": "ada", "paused": True}), by=by).state.value == "running"
    assert read(desk({"user": "ada", "paused": True, "asleep": True}), by=by).state.value == "stopped"


def test_what_does_not_match_is_no_session() -> None:
    by = reader(match=[{"field": "spec.kind", "operator": "NotIn", "values": ["helper"]}])

    assert by.read(json.dumps(desk({"user": "ada", "kind": "helper"})).encode()) is None
    assert by.read(json.dumps(desk({"user": "ada", "kind": 3})).encode()) is not None


def test_a_new_object_without_a_uid_has_no_pods_to_know() -> None:
    body = desk()
    del body["metadata"]["uid"]

    assert read(body).pod_labels == ()
    assert read(desk()).pod_labels == ((("desk", "u-1"),),)


def test_only_the_fields_that_the_preset_names_are_kept() -> None:
    """A large object costs time to skip, and leaves nothing behind: what is read has no part of its text."""
    body = json.dumps(desk({"user": "ada", "notes": ["x" * 1000] * 1000})).encode()

    reading = read(body)

    assert len(body) > 2**20 - 2**16
    assert amounts(reading) == {
        "count/pods": 10**9,
        "pods": 10**9,
        "requests.memory": 2**30 * 10**9,
    }


def test_a_multiplier_without_a_default_has_to_be_there() -> None:
    by = reader(resources=[{"name": "a", "times": "spec.replicas"}])

    with pytest.raises(UncountableError) as caught:
        read(desk(), by=by)

    assert str(caught.value) == "spec.replicas: absent, and the preset gives no default for it"


def test_a_part_of_a_pod_is_no_number_of_pods() -> None:
    by = reader(resources=[{"name": "a", "times": "500m * spec.replicas"}])

    assert read(desk({"user": "ada", "replicas": 4}), by=by).pods == 2
    with pytest.raises(UncountableError, match="3/2 is no whole number"):
        read(desk({"user": "ada", "replicas": 3}), by=by)


def test_an_amount_is_rounded_up_to_what_a_quantity_can_hold() -> None:
    by = reader(resources=[{"name": "a", "requests": [{"cpu": "1n * spec.cpu"}]}])

    # The API server rounds a request up to a thousandth.
    assert amounts(read(desk({"user": "ada", "cpu": "1500m"}), by=by))["requests.cpu"] == Fraction(10**6)


def test_a_map_is_gone_through_by_its_values() -> None:
    by = reader(resources=[{"name": "roles", "each": "spec.roles[*]", "podTemplate": "template", "times": "replicas"}])
    roles = {"Worker": {**HELPER, "replicas": 3}, "Master": {**HELPER, "replicas": 1}}

    reading = read(desk({"user": "ada", "roles": roles}), by=by)

    assert [(part.where, part.count) for part in reading.parts] == [("spec.roles.Worker", 3), ("spec.roles.Master", 1)]


def test_a_named_item_and_all_items_of_one_map_may_be_read() -> None:
    by = reader(
        resources=[
            {
                "name": "roles",
                "each": "spec.roles[*]",
                "podTemplate": "template",
                "times": "$.spec.roles.Worker.replicas",
            }
        ]
    )

    assert read(desk({"user": "ada", "roles": {"Worker": {**HELPER, "replicas": 3}}}), by=by).pods == 3


def test_replicas_of_a_scale_stand_for_those_in_the_object() -> None:
    by = reader(scale="spec.factor")
    body = json.dumps(desk({"user": "ada", "helpers": [HELPER, {**HELPER, "replicas": 2}]})).encode()

    def pods(replicas: int | None) -> int:
        reading = by.read(body, replicas=replicas)
        assert reading is not None
        return reading.pods

    # The preset's default counts where nothing is stored, whatever a review says of the old scale.
    assert [pods(replicas) for replicas in (None, 0, 5, 2**31 - 1)] == [4, 1, 16, 1 + 3 * (2**31 - 1)]
    with pytest.raises(UncountableError, match=r"spec.factor: -2147483648 is negative"):
        pods(-(2**31))


def test_what_is_filled_into_pods_counts_for_a_session() -> None:
    filled = PodDefaults(
        {"cpu": Bounds(request=parse("200m"), limit=parse("1"))}, {"requests.ephemeral-storage": parse("1Gi")}
    )
    body = json.dumps(desk({"user": "ada", "helpers": [{**HELPER, "replicas": 2}]})).encode()

    reading = READER.read(body, defaults=filled)

    # The desk declares memory only; each helper requests 100m itself.
    assert reading is not None
    assert amounts(reading)["requests.cpu"] == (200 + 2 * 100) * 10**6
    assert amounts(reading)["limits.cpu"] == 3 * 10**9
    assert amounts(reading)["requests.ephemeral-storage"] == 3 * 2**30 * 10**9


# Every value that JSON has, at every place that the preset names, and some that it does not.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["1Gi", "ada"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["user", "cpu", "extra", "helpers", "template", "spec", "containers", "replicas", "metadata", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(VALUES)
def test_any_object_is_read_or_named_as_unreadable(spec: object) -> None:
    body = {**desk(), "spec": spec}

    try:
        reading = READER.read(json.dumps(body).encode(), NamespaceTexts({}, {"owner": "eve"}))
    except UncountableError as error:
        assert error.path  # noqa: PT017 - either outcome is right
    else:
        assert reading is not None
        assert all(amount > 0 for _, amount in reading.amounts)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error(body: bytes) -> None:
    with pytest.raises(UncountableError):
        READER.read(body)
