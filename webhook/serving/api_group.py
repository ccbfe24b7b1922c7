"""
What the API groups on the port of `view_server` have in common, and how another one is added to those of the view.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from webhook.ports import Caller

CALLER: Final = web.RequestKey("caller", Caller)
"""Who asks. The port has set it before a handler is called."""

REQUEST_ID: Final = "X-Request-ID"
_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)


class ApiGroup(Protocol):
    """An API group beside that of the view."""

    name: str
    """As in `/apis/NAME`."""

    def discovery(self) -> Mapping[str, object]:
        """Return the APIGroup."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add all paths below `/apis/NAME`. Handlers find the caller under CALLER, and may raise UnavailableError."""

    def error(self, status: int, reason: str, message: str) -> web.Response:
        """Return an error in the form that clients of the group expect; *reason* is Kubernetes' word for it."""


def request_id(headers: Mapping[str, str]) -> str:
    """Return the id that the client gave to a request, or a new one where that has another form or is missing."""
    given = headers.get(REQUEST_ID, "")
    return given if _ID.fullmatch(given) else secrets.token_hex(8)


def static(document: Mapping[str, object]) -> Handler:
    """Return a handler that answers with the same document each time."""
    body = msgspec.json.encode(document)

    async def handle(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    return handle
