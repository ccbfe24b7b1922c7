"""What a client has written of a pod, and what others have added: by what the API server has noted of the request."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import Authored, UncountableError
from webhook.kinds.pods import PODS
from webhook.quota.resources import show_list

Json = dict[str, Any]


def container(name: str, **asked: str) -> Json:
    return {"name": name, "resources": {"requests": asked}}


def noted(*names: str, of: str = "f:containers") -> Json:
    keys: Json = {f'k:{{"name":"{name}"}}': {".": {}, "f:name": {}} for name in names}
    return {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:spec": {of: keys, "f:hostname": {}}}}


def authored(spec: Json, *managers: Any) -> Authored:
    document = {"metadata": {"name": "p", "managedFields": list(managers)}, "spec": spec}
    raw = msgspec.json.encode(document)
    return PODS.evaluator.authored(msgspec.json.decode(raw, type=PODS.shape), raw)


MAIN, PROXY = container("main", cpu="2", memory="1Gi"), container("proxy", cpu="100m", memory="64Mi")
BOTH = {"containers": [MAIN, PROXY]}


def test_a_container_that_the_request_did_not_have_was_added() -> None:
    found = authored(BOTH, noted("main"))
    assert found.others == ("proxy",)
    assert show_list(found.own) == "count/pods=1,pods=1,requests.cpu=2,requests.memory=1Gi"


def test_a_sidecar_may_be_added_as_an_init_container() -> None:
    spec = {"containers": [MAIN], "initContainers": [{**PROXY, "restartPolicy": "Always"}, container("setup")]}
    found = authored(spec, noted("main"), noted("setup", of="f:initContainers"))
    assert found.others == ("proxy",)
    assert show_list(found.own) == "count/pods=1,pods=1,requests.cpu=2,requests.memory=1Gi"


@pytest.mark.parametrize(
    "managers",
    [
        pytest.param([], id="nothing is noted"),
        pytest.param([noted("main", "proxy")], id="the request had all of them"),
        pytest.param([noted("main"), noted("proxy")], id="two managers sent them"),
        pytest.param([{"manager": "x", "fieldsV1": {"f:metadata": {}}}], id="no container is noted"),
        pytest.param([{"manager": "x"}], id="no field is noted"),
        pytest.param([{"fieldsV1": {"f:spec": {"f:containers": {'k:{"name":1}': {}}}}}], id="no name"),
        pytest.param([{"fieldsV1": {"f:spec": {"f:containers": {"k:main": {}}}}}], id="no key"),
        pytest.param([{"fieldsV1": {"f:spec": "all"}}], id="no set of fields"),
    ],
)
def test_nothing_was_added_as_far_as_is_known(managers: list[Any]) -> None:
    assert authored(BOTH, *managers) == Authored({"requests.cpu": "m", "requests.memory": "Gi"})


def test_units_are_those_of_the_first_container_that_the_client_wrote() -> None:
    spec = {"containers": [PROXY, container("main", memory="1Gi"), container("more", memory="6G", cpu="1500m")]}
    assert authored(spec, noted("main", "more")).units == {"requests.memory": "Gi", "requests.cpu": "m"}


@pytest.mark.parametrize(
    ("written", "unit"),
    [("2", ""), ("500m", "m"), ("1.5Gi", "Gi"), ("6G", "G"), ("64k", "k"), ("1e3", ""), ("5n", ""), ("1Ei", "Ei")],
)
def test_the_unit_of_a_limit(written: str, unit: str) -> None:
    limited = {"name": "main", "resources": {"limits": {"memory": written, "nvidia.com/gpu": "1"}, "requests": None}}
    assert authored({"containers": [limited, {"name": "bare"}]}).units == ({"limits.memory": unit} if unit else {})


def test_the_unit_of_a_claim() -> None:
    evaluator, shape = PERSISTENT_VOLUME_CLAIMS.evaluator, PERSISTENT_VOLUME_CLAIMS.shape
    raw = b'{"spec":{"storageClassName":"gold","resources":{"requests":{"storage":"6G"}}}}'
    gold = "gold.storageclass.storage.k8s.io/requests.storage"
    found = evaluator.authored(msgspec.json.decode(raw, type=shape), raw)
    assert found == Authored({"requests.storage": "G", gold: "G"})


@pytest.mark.parametrize(
    "key",
    ["k:", 'k:{"name":1}', r'k:{"name":"\ud800"}', 'k:{"a":' + "[" * 9_000 + "]" * 9_000 + "}"],
    ids=["nothing", "no name", "half of a surrogate pair", "nested beyond reason"],
)
def test_a_note_that_cannot_be_read_says_nothing(key: str) -> None:
    """It is a text in a key, which nobody has to write as JSON."""
    written = json.dumps({"metadata": {"managedFields": [{"fieldsV1": {"f:spec": {"f:containers": {key: {}}}}}]}})
    raw = written.encode()[:-1] + b',"spec":%s}' % msgspec.json.encode(BOTH)

    assert PODS.evaluator.authored(msgspec.json.decode(raw, type=PODS.shape), raw).others == ()


def test_requests_that_cannot_be_read_are_named() -> None:
    with pytest.raises(UncountableError, match="main"):
        authored({"containers": [{"name": "main", "resources": "none"}]})
