"""The copy of a policy: whatever is stored in its place is told from it."""

from __future__ import annotations

import gzip

import pytest

from webhook.documents.policy_copy import PolicyCopyError, decode_copy

DAMAGED = {
    "nothing": b"",
    "no gzip": b"version: 1",
    "cut short": gzip.compress(b'{"version":7,"texts":[]}')[:-9],
    "no JSON": gzip.compress(b"version: 1"),
    "no UTF-8": gzip.compress(b'{"version":7,"texts":[["a/b","\xff"]]}'),
    "nested beyond reason": gzip.compress(b'{"version":7,"texts":[],"more":' + b"[" * 9_000 + b"]" * 9_000 + b"}"),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_copy_is_an_error(content: bytes) -> None:
    with pytest.raises(PolicyCopyError):
        decode_copy(content)
