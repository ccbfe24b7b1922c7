"""
List what `denial_events` has told, by the rights of whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from webhook.kube.api import UNREADABLE, ApiError, ForbiddenError, KubernetesApi, UnreachableError
from webhook.kube.denial_events import DENIAL, LABEL, OWNER_NOTE
from webhook.ports import WebhookError

_PAGE_SIZE = "500"


class DenialListError(WebhookError):
    """The Events could not be listed. One line that says why."""


@dataclass(frozen=True, slots=True)
class ToldDenial:
    """What was denied `count` times for an object. `first` and `last` are times as in the API, empty if not known."""

    namespace: str
    kind: str
    name: str
    owner: str
    reason: str
    message: str
    count: int
    first: str
    last: str


class _Meta(msgspec.Struct, frozen=True):
    namespace: str = ""
    annotations: dict[str, str] | None = None


class _Involved(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    metadata: _Meta
    involved_object: _Involved = _Involved()
    reason: str = ""
    message: str = ""
    count: int | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None


class _ListMeta(msgspec.Struct, frozen=True):
    next_page: str = msgspec.field(name="continue", default="")


class _Events(msgspec.Struct, frozen=True):
    metadata: _ListMeta = _ListMeta()
    items: list[_Event] | None = None


async def list_denials(api: KubernetesApi, namespace: str = "") -> list[ToldDenial]:
    """Return what was denied in *namespace*, by default in all, the newest first. Raises: DenialListError."""
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/events" if namespace else "/api/v1/events"
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    query = {"labelSelector": f"{LABEL}={DENIAL}", "limit": _PAGE_SIZE}
    found: list[ToldDenial] = []
    try:
        while True:
            page = msgspec.json.decode(await api.get(path, query=query), type=_Events)
            found += map(_told, page.items or ())
            if not page.metadata.next_page:
                break
            query["continue"] = page.metadata.next_page
    except ForbiddenError as error:
        raise DenialListError(f"you may not list Events {where}: {error.message}") from error
    except UnreachableError as error:
        raise DenialListError(f"the cluster cannot be reached: {error}") from error
    except ApiError as error:
        raise DenialListError(f"the Events {where} could not be listed: {error}") from error
    except UNREADABLE as error:
        raise DenialListError(f"the answer is no list of Events: {error}") from error
    # Such times are in UTC, and as long as each other: texts are in their order.
    return sorted(found, key=lambda each: each.last, reverse=True)


def _told(event: _Event) -> ToldDenial:
    return ToldDenial(
        event.metadata.namespace,
        event.involved_object.kind,
        event.involved_object.name,
        (event.metadata.annotations or {}).get(OWNER_NOTE, ""),
        event.reason,
        event.message,
        event.count or 1,
        event.first_timestamp or "",
        event.last_timestamp or "",
    )
