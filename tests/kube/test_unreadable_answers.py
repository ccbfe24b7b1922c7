"""Answers that are no answer: each reader says so by the error that it documents, and none ends a loop by another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.kube.scripted import server
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.kube.api import KubernetesApi
from webhook.kube.api.errors import api_error
from webhook.kube.ledger_config_map import LedgerConfigMap
from webhook.kube.limit_ranges import LimitRangeReads
from webhook.kube.namespaces import NamespaceLabels
from webhook.kube.object_list import ObjectList, read_raw_pages
from webhook.kube.object_reads import ObjectReads
from webhook.kube.policy_copy import PolicyCopyConfigMap
from webhook.kube.reflector.events import ResourceVersionError, as_integer
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectKey

_DEEP = b"[" * 9_000 + b"]" * 9_000
"""An API server stores custom resources of 10 000 levels."""

ANSWERS = {
    "nested beyond reason": b'{"metadata":{"resourceVersion":"7","managedFields":%s},"items":%s}' % (_DEEP, _DEEP),
    "no UTF-8": b'{"metadata":{"resourceVersion":"7","name":"\xff","uid":"\xff","continue":"\xff"},'
    b'"items":[{"metadata":{"name":"\xff"},"spec":{"limits":[{"type":"\xff"}]}}]}',
    "no JSON": b"<html>",
}


async def _raw_pages(api: KubernetesApi) -> None:
    async for _ in read_raw_pages(api, "/api/v1/pods", resource="pods"):
        pass


READERS: dict[str, Callable[[KubernetesApi], Awaitable[object]]] = {
    "a list": lambda api: ObjectList(api, kinds=KINDS, exempt=()).listing("pods"),
    "a list as it was sent": _raw_pages,
    "an object": lambda api: ObjectReads(api, KINDS).read(PODS, "n", "a"),
    "a version": lambda api: ObjectReads(api, KINDS).version_of(ObjectKey("pods", "n", "a")),
    "the ledger": lambda api: LedgerConfigMap(api, namespace="n").read(),
    "the copy of the policy": lambda api: PolicyCopyConfigMap(api, namespace="n").read(),
    "a namespace": lambda api: NamespaceLabels(api, on_change=lambda _: None).labels("n"),
    "LimitRanges": lambda api: LimitRangeReads(api, monotonic=lambda: 0.0).bounds("n"),
}


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
async def test_what_cannot_be_read_is_unavailable(
    body: bytes, reader: Callable[[KubernetesApi], Awaitable[object]], tmp_path: Path
) -> None:
    async with server([answer(body)], tmp_path) as (api, _):
        with pytest.raises(UnavailableError, match=r"read|list"):
            await reader(api)


@pytest.mark.parametrize("version", ["", "x", "1_0", "\u0663", "9" * 5_000], ids=ascii)
@pytest.mark.parametrize("reader", ["a list", "a version", "the ledger", "the copy of the policy"])
async def test_a_version_that_is_no_integer_is_unavailable(reader: str, version: str, tmp_path: Path) -> None:
    """It may come from a server of another making behind an APIService. Python reads some of these as numbers."""
    meta = b'"metadata":{"uid":"u","name":"a","resourceVersion":"%s"}' % version.encode()
    body = b'{"metadata":{"resourceVersion":"7"},"items":[{%s}]}' % meta if reader == "a list" else b"{%s}" % meta
    async with server([answer(body)], tmp_path) as (api, _):
        with pytest.raises(UnavailableError, match="is no integer"):
            await READERS[reader](api)


def test_a_version_of_a_watch_with_thousands_of_digits_is_refused() -> None:
    with pytest.raises(ResourceVersionError, match="is no integer"):
        as_integer("9" * 5_000)


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
def test_the_body_of_an_error_may_be_anything(body: bytes) -> None:
    assert api_error(body, request="GET /", status=502).message == "the answer is no Kubernetes Status"
