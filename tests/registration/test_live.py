"""Stored webhook configurations, where every optional field may be absent or null."""

from __future__ import annotations

import json
from typing import Any

import pytest

from webhook.registration import RegistrationError
from webhook.registration.live import LiveWebhook, Requirement, Selector, parse


def found(body: Any) -> list[LiveWebhook]:
    return list(parse(json.dumps(body).encode(), source="Configuration c").values())


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({}, id="clientConfig absent"),
        pytest.param({"clientConfig": None}, id="clientConfig null"),
        pytest.param({"clientConfig": {}}, id="clientConfig empty"),
        pytest.param({"clientConfig": {"service": None, "url": None, "caBundle": None}}, id="its fields null"),
        pytest.param({"clientConfig": {"service": {}}}, id="service empty"),
        pytest.param({"clientConfig": {"service": {"path": None}}}, id="path null"),
        pytest.param({"clientConfig": {"caBundle": ""}, "namespaceSelector": None}, id="caBundle empty"),
    ],
)
def test_what_is_absent_is_empty(config: dict[str, Any]) -> None:
    assert found({"webhooks": [{"name": "w", **config}]}) == [LiveWebhook("w")]


@pytest.mark.parametrize("body", [{}, {"webhooks": None}, {"webhooks": []}])
def test_a_configuration_may_have_no_webhooks(body: dict[str, Any]) -> None:
    assert found(body) == []


def test_what_is_there_is_read() -> None:
    config = {"service": {"name": "s", "namespace": "n", "path": "/mutate"}, "caBundle": "QUJD"}
    selector = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "k", "operator": "Exists"}]}
    assert found({"webhooks": [{"name": "w", "clientConfig": config, "namespaceSelector": selector}]}) == [
        LiveWebhook(
            "w",
            host="s.n.svc",
            path="/mutate",
            ca_bundle=b"ABC",
            namespace_selector=Selector({"a": "b"}, [Requirement("k", "Exists", None)]),
        )
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b"<html>", id="a page of a balancer"),
        pytest.param(b'{"webhooks": [{"name": "\xff"}]}', id="no UTF-8"),
        pytest.param(b'{"webhooks": [{}]}', id="a webhook without a name"),
        pytest.param(b'{"webhooks": {"name": "w"}}', id="webhooks that are no list"),
        pytest.param(b'{"webhooks": [{"name": "w", "clientConfig": {"caBundle": "%"}}]}', id="no base64"),
        pytest.param(b'{"webhooks": [{"name": "w", "clientConfig": {"service": "s"}}]}', id="a service that is a text"),
    ],
)
def test_another_shape_is_a_registration_error(answer: bytes) -> None:
    with pytest.raises(RegistrationError, match=r"^Configuration c: the API server's answer cannot be read: "):
        parse(answer, source="Configuration c")
