"""
How an API server proves that it passes a request on: the ConfigMap in which it publishes that, watched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog

from webhook.kube.api import UNREADABLE
from webhook.ports import FrontProxyTrust, WebhookError
from webhook.quota.objects import Shape

log = structlog.get_logger(__name__)

COLLECTION: Final = "/api/v1/namespaces/kube-system/configmaps"
NAME: Final = "extension-apiserver-authentication"
"""Every API server writes it. The Role `extension-apiserver-authentication-reader` allows to read it by this name."""

_CA: Final = "requestheader-client-ca-file"


class FrontProxyMeta(Shape, frozen=True, gc=False):
    """The metadata of the ConfigMap."""

    name: str = ""
    resource_version: str = ""


class FrontProxyConfigMap(Shape, frozen=True, gc=False):
    """The ConfigMap."""

    metadata: FrontProxyMeta = FrontProxyMeta()
    data: dict[str, str] | None = None


class FrontProxyError(WebhookError):
    """The ConfigMap does not say how an API server proves itself. One line: which key, and why."""


class PublishedTrust:
    """
    The sink of the watch on the ConfigMap. Belongs to one event loop.

    What cannot be read is trusted in no part: nobody is believed until it is right again.
    """

    def __init__(self, on_change: Callable[[FrontProxyTrust | None], None]) -> None:
        """Call *on_change* with what is published, None where that is nothing that can be used."""
        self._on_change = on_change
        self._was_seen = False

    def started(self) -> None:
        """Begin a full list."""
        self._was_seen = False

    def seen(self, item: FrontProxyConfigMap) -> None:
        """Take what is published now."""
        self._was_seen = True
        try:
            self._on_change(read_trust(item.data or {}))
        except FrontProxyError as error:
            log.warning("no API server can pass requests on", reason=str(error))
            self._on_change(None)

    def gone(self, item: FrontProxyConfigMap) -> None:  # noqa: ARG002 - there is one
        """Trust nobody any more."""
        self._on_change(None)

    def synced(self, resource_version: int) -> None:  # noqa: ARG002 - there is one object
        """Trust nobody if the list did not show the ConfigMap."""
        if not self._was_seen:
            self._on_change(None)

    def reached(self, resource_version: int) -> None:
        """Do nothing: how far the watch is does not matter."""


def read_trust(data: Mapping[str, str]) -> FrontProxyTrust:
    """Return what the ConfigMap's *data* say. Raises: FrontProxyError."""
    client_ca = data.get(_CA, "")
    if not client_ca.strip():
        raise FrontProxyError(f"{NAME}/{_CA}: is empty: start kube-apiserver with --requestheader-client-ca-file")
    user = _names(data, "requestheader-username-headers")
    if not user:
        raise FrontProxyError(f"{NAME}/requestheader-username-headers: is empty: nothing says who asks")
    return FrontProxyTrust(
        client_ca=client_ca.encode(),
        names=frozenset(_names(data, "requestheader-allowed-names")),
        user=user,
        groups=_names(data, "requestheader-group-headers"),
        extra=_names(data, "requestheader-extra-headers-prefix"),
        uid=_names(data, "requestheader-uid-headers"),
    )


def _names(data: Mapping[str, str], key: str) -> tuple[str, ...]:
    try:
        return tuple(msgspec.json.decode(data.get(key) or "[]", type=list[str]))
    except UNREADABLE as error:
        raise FrontProxyError(f"{NAME}/{key}: is no JSON list of texts: {error}") from error
