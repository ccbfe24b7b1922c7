"""Of a pod we read the few fields that say what it costs and who pays."""

import msgspec
import pytest

from webhook.kinds.pod_shapes import Container, Pod, PodStatus
from webhook.quota.objects import Annotations, AnyObject, ObjectMeta


def test_what_does_not_concern_us_is_skipped() -> None:
    pod = msgspec.json.decode(
        b'{"kind":"Pod","metadata":{"labels":{"a":"b"},"name":"p"},"spec":{"nodeName":[1,{}],"containers":'
        b'[{"name":"app","image":7,"resources":{"claims":[{}],"requests":{"cpu":1e3}}}]},"status":{"podIP":null}}',
        type=Pod,
    )

    assert pod.metadata == ObjectMeta(name="p")
    assert pod.status == PodStatus()
    assert [each.name for each in pod.spec.containers or ()] == ["app"]


def test_a_number_is_kept_as_it_is_written() -> None:
    container = msgspec.json.decode(b'{"resources":{"requests":{"cpu":1.10,"memory":"1Gi"}}}', type=Container)

    assert bytes(container.resources) == b'{"requests":{"cpu":1.10,"memory":"1Gi"}}'


@pytest.mark.parametrize("text", [b'{"restartPolicy":null,"resources":null}', b"{}"])
def test_null_is_as_good_as_absent(text: bytes) -> None:
    container = msgspec.json.decode(text, type=Container)

    assert container.restart_policy is None
    assert bytes(container.resources) in (b"", b"null")


def test_the_controller_is_the_owner_that_is_marked_as_such() -> None:
    meta = msgspec.json.decode(
        b'{"ownerReferences":[{"kind":"Node","name":"n"},{"kind":"Pod","name":"p","controller":false},'
        b'{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"u","controller":true}]}',
        type=ObjectMeta,
    )

    assert meta.controller is not None
    assert (meta.controller.api_version, meta.controller.kind, meta.controller.name, meta.controller.uid) == (
        *("apps/v1", "ReplicaSet", "r", "u"),
    )


@pytest.mark.parametrize("text", [b"{}", b'{"ownerReferences":null}', b'{"ownerReferences":[{"kind":"Node"}]}'])
def test_an_object_may_have_no_controller(text: bytes) -> None:
    assert msgspec.json.decode(text, type=ObjectMeta).controller is None


def test_of_the_annotations_only_ours_are_read() -> None:
    meta = msgspec.json.decode(
        b'{"annotations":{"userquota.dev/owner":"alice","userquota.dev/groups":"[]","other":"x",'
        b'"kubernetes.io/config.mirror":"m"}}',
        type=ObjectMeta,
    )

    assert meta.annotations == Annotations(owner="alice", groups="[]", mirror="m")
    assert msgspec.json.decode(b'{"annotations":{"other":"x"}}', type=ObjectMeta).annotations == Annotations()


def test_any_object_is_read_for_its_metadata() -> None:
    read = msgspec.json.decode(b'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"uid":"u"}}', type=AnyObject)

    assert (read.api_version, read.kind, read.metadata.uid) == ("apps/v1", "Deployment", "u")
