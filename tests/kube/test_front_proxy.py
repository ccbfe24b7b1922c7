"""What an API server publishes of how it proves itself."""

from __future__ import annotations

import pytest

from webhook.kube.front_proxy import (
    FrontProxyConfigMap,
    FrontProxyError,
    PublishedTrust,
    read_trust,
)
from webhook.ports import FrontProxyTrust

DATA = {
    "client-ca-file": "PEM of the cluster, which is not looked at",
    "requestheader-client-ca-file": "PEM",
    "requestheader-allowed-names": '["front-proxy-client"]',
    "requestheader-username-headers": '["X-Remote-User"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
}
TRUST = FrontProxyTrust(
    client_ca=b"PEM",
    names=frozenset({"front-proxy-client"}),
    user=("X-Remote-User",),
    groups=("X-Remote-Group",),
    extra=("X-Remote-Extra-",),
)


def test_all_of_it_is_read() -> None:
    assert read_trust(DATA) == TRUST
    assert read_trust({**DATA, "requestheader-uid-headers": '["X-Remote-Uid"]'}).uid == ("X-Remote-Uid",)


BAD = {
    "no authority": (
        {"requestheader-client-ca-file": " "},
        "requestheader-client-ca-file: is empty: start",
    ),
    "no header of users": (
        {"requestheader-username-headers": "[]"},
        "requestheader-username-headers: is empty: ",
    ),
    "no list": (
        {"requestheader-allowed-names": "front-proxy-client"},
        "requestheader-allowed-names: is no JSON",
    ),
    "no texts": ({"requestheader-group-headers": "[1]"}, "requestheader-group-headers: is no JSON list of texts: "),
}


@pytest.mark.parametrize(("change", "told"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_is_an_error_that_names_the_key(change: dict[str, str], told: str) -> None:
    with pytest.raises(FrontProxyError) as caught:
        read_trust({**DATA, **change})
    assert str(caught.value).startswith(f"extension-apiserver-authentication/{told}")


def test_what_is_published_is_trusted_for_as_long_as_it_is_there() -> None:
    found: list[FrontProxyTrust | None] = []
    sink = PublishedTrust(found.append)
    good, bad = FrontProxyConfigMap(data=DATA), FrontProxyConfigMap(data={})

    sink.started()
    sink.synced(1)
    sink.seen(good)
    sink.seen(bad)
    sink.started()
    sink.seen(good)
    sink.synced(2)
    sink.gone(good)

    assert found == [None, TRUST, None, TRUST, None]
