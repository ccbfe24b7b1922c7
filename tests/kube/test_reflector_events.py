import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from webhook.kube.reflector.events import (
    Added,
    Bookmark,
    Decoder,
    Deleted,
    Failure,
    MalformedError,
    Modified,
    ResourceVersionError,
    Undecodable,
    as_integer,
    list_version,
)


class Meta(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str


class Spec(msgspec.Struct):
    size: int = 0


class Disk(msgspec.Struct):
    metadata: Meta
    spec: Spec


decoder = Decoder(Disk)


def disk(name: str = "a", *, version: str = "7", **spec: object) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "uid": "u", "resourceVersion": version, "labels": {"x": "y"}}
    return {"kind": "Disk", "apiVersion": "v1", "metadata": metadata, "spec": spec}


def line(kind: str, item: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode()


EXPECTED = Disk(Meta("a", "7"), Spec(3))


@pytest.mark.parametrize(
    ("expected", "kind"),
    [
        pytest.param(Added(EXPECTED), "ADDED", id="an added object"),
        pytest.param(Modified(EXPECTED), "MODIFIED", id="a modified object"),
        pytest.param(Deleted(EXPECTED), "DELETED", id="a deleted object"),
    ],
)
def test_decodes(expected: Added[Disk] | Modified[Disk] | Deleted[Disk], kind: str) -> None:
    event = decoder.event(line(kind, disk(size=3)))

    assert event == expected
    assert type(event) is type(expected)


def test_the_type_may_come_after_the_object() -> None:
    assert decoder.event(b'{"object":%s,"type":"ADDED"}' % json.dumps(disk(size=3)).encode()) == Added(EXPECTED)


@pytest.mark.parametrize(
    ("ends", "metadata"),
    [
        pytest.param(False, {"resourceVersion": "9"}, id="an ordinary one"),
        pytest.param(
            True, {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}, id="the end"
        ),
        pytest.param(False, {"resourceVersion": "9", "annotations": {"x": "true"}}, id="another annotation"),
        pytest.param(False, {"resourceVersion": "9", "annotations": None}, id="no annotations"),
    ],
)
def test_a_bookmark_holds_the_version_that_the_watch_has_reached(ends: bool, metadata: Mapping[str, Any]) -> None:
    """The rest of its object fits no struct: a pod's bookmark has ``containers: null``."""
    event = decoder.event(line("BOOKMARK", {"kind": "Disk", "metadata": metadata, "spec": {"size": None}}))

    assert isinstance(event, Bookmark)
    assert event.object.metadata.resource_version == "9"
    assert event.ends_initial_events is ends


def test_an_error_event_keeps_its_status() -> None:
    event = decoder.event(line("ERROR", {"kind": "Status", "code": 410}))

    assert isinstance(event, Failure)
    assert json.loads(bytes(event.object)) == {"kind": "Status", "code": 410}


@pytest.mark.parametrize(
    ("is_gone", "kind"),
    [
        pytest.param(False, "ADDED", id="that is there"),
        pytest.param(False, "MODIFIED", id="that has changed"),
        pytest.param(True, "DELETED", id="that is gone"),
    ],
)
def test_names_the_object_and_the_field_of_a_misfit(is_gone: bool, kind: str) -> None:
    event = decoder.event(line(kind, disk(size="big")))

    assert event == Undecodable(
        namespace="n",
        name="a",
        uid="u",
        resource_version="7",
        problem="Expected `int`, got `str` - at `$.object.spec.size`",
        is_gone=is_gone,
    )


def test_an_object_nested_beyond_reason_does_not_stop_the_watch() -> None:
    """The API server takes 10 000 levels in a custom resource."""
    deep = '{"a":' * 9_000 + "1" + "}" * 9_000
    event = decoder.event(b'{"type":"ADDED","object":{"metadata":{"name":"a"},"spec":%s}}' % deep.encode())

    assert isinstance(event, Undecodable)
    assert (event.name, event.uid, event.resource_version) == ("", "", "")
    assert event.problem


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="a page"),
        pytest.param(b'{"type":"ADDED","object":{"metadata"', id="half an event"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(b'{"type":"ADDED","object":{}}', id="an object without metadata"),
        pytest.param(b'{"type":"ADDED","object":{"metadata":{"name":"\xff"}}}', id="a name that is no text"),
        pytest.param(
            b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":7}}}', id="a version that is a number"
        ),
    ],
)
def test_what_is_no_event_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedError):
        decoder.event(text)


def page(*items: object, more: str | None = None, version: str = "9") -> bytes:
    metadata = {"resourceVersion": version} | ({"continue": more, "remainingItemCount": 5} if more else {})
    return json.dumps({"kind": "DiskList", "metadata": metadata, "items": list(items)}).encode()


def test_decodes_a_page() -> None:
    found = decoder.page(page(disk(size=3), disk("b"), more="next"))

    assert found.items == [EXPECTED, Disk(Meta("b", "7"), Spec(0))]
    assert (found.resource_version, found.next_page) == (9, "next")


def test_the_last_page_names_no_other() -> None:
    assert decoder.page(page()).next_page == ""


def test_a_page_may_have_no_items() -> None:
    assert decoder.page(b'{"metadata":{"resourceVersion":"9"},"items":null}').items == []


def test_one_misfit_does_not_hide_the_rest_of_a_page() -> None:
    found = decoder.page(page(disk(size=3), disk("b", size="big"), disk("c"), more="next"))

    misfit = Undecodable("n", "b", "u", "7", "Expected `int`, got `str` - at `$.spec.size`")
    assert found.items == [EXPECTED, misfit, Disk(Meta("c", "7"), Spec(0))]
    assert (found.resource_version, found.next_page) == (9, "next")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"items":[]}', id="without metadata"),
        pytest.param(b'{"metadata":{"resourceVersion":"1"},"items":[7]}', id="with items that are no objects"),
        pytest.param(b'{"metadata":{"resourceVersion":"1"},"items":[{}]}', id="with items without metadata"),
        pytest.param(b'{"metadata":{"resourceVersion":"1"},"items":[' + b"[" * 9_000, id="nested beyond reason"),
    ],
)
def test_what_is_no_list_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decoder.page(body)


@pytest.mark.parametrize("text", ["", "1.5", "-1", "1e3", "abc", "٣", " 1"])
def test_a_version_that_is_no_integer_is_refused(text: str) -> None:
    with pytest.raises(ResourceVersionError, match="is no integer"):
        as_integer(text)


@pytest.mark.parametrize(("expected", "text"), [(0, "0"), (18446744073709551615, "18446744073709551615")])
def test_a_version_is_an_integer_of_any_size(expected: int, text: str) -> None:
    assert as_integer(text) == expected


def test_the_version_of_a_list_needs_none_of_its_items() -> None:
    assert list_version(page(disk(size="big"), version="12")) == 12
    with pytest.raises(ResourceVersionError):
        list_version(page(version="x"))
    with pytest.raises(MalformedError):
        list_version(b"{}")
