"""
The API group `liquid.userquota.dev`: LIQUID, by which the quota broker Limes drives this cluster, in HTTP.

API servers pass requests on to the port with these paths, see `view_server`. What is told and done is `LiquidSource`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from webhook.liquid.info import Json, OutdatedError
from webhook.liquid.projects import UnknownProjectError
from webhook.liquid.requests import (
    CommitmentRequest,
    MalformedError,
    RefusedError,
    read_changes,
    read_quotas,
    read_zones,
)
from webhook.ports import CallerRights
from webhook.serving.api_group import CALLER, static

log = structlog.get_logger(__name__)

GROUP: Final = "liquid.userquota.dev"
_VERSION: Final = "v1"
_BASE: Final = f"/apis/{GROUP}/{_VERSION}"
_MOST_LOGGED: Final = 20
"""Commitments of one request that the log names."""


class LiquidSource(Protocol):
    """Tells a broker of this cluster, and does what it asks. Each may raise UnavailableError."""

    async def info(self) -> Json:
        """Return the ServiceInfo."""

    async def capacity(self, zones: Sequence[str]) -> Json:
        """Return the ServiceCapacityReport on *zones*."""

    async def usage(self, project: str, zones: Sequence[str]) -> Json:
        """Return the ServiceUsageReport on *zones*. Raises: UnknownProjectError."""

    async def change(self, request: CommitmentRequest) -> Json:
        """
        Make the changes of *request*; return the CommitmentChangeResponse.

        Raises: MalformedError, OutdatedError, UnknownProjectError.
        """

    async def set_quotas(self, project: str, quotas: Mapping[str, int]) -> None:
        """
        Allow *project* these units by the name of the resource.

        Raises: MalformedError, UnknownProjectError, RefusedError.
        """


class LiquidServer:
    """`ApiGroup` of LIQUID. Errors are plain text, as the protocol has it."""

    name = GROUP

    def __init__(self, source: LiquidSource, rights: CallerRights) -> None:
        """Answer callers as far as they have *rights*: to the resources of this group, like the API server itself."""
        self._source = source
        self._rights = rights

    def discovery(self) -> Json:
        """Return the APIGroup."""
        version = {"groupVersion": f"{GROUP}/{_VERSION}", "version": _VERSION}
        versions = {"versions": [version], "preferredVersion": version}
        return {"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, **versions}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add LIQUID's paths, and what Kubernetes asks of every group."""
        router.add_get(_BASE, static(_resource_list()))
        handlers = {
            "info": self._info,
            "report-capacity": self._report_capacity,
            "change-commitments": self._change_commitments,
            "projects/report-usage": self._report_usage,
            "projects/quota": self._set_quota,
        }
        for each in _RESOURCES:
            path = each.name.replace("projects/", "projects/{project}/")
            router.add_route(each.method, f"{_BASE}/{path}", self._allowed(each, handlers[each.name]))

    def error(self, status: int, reason: str, message: str) -> web.Response:  # noqa: ARG002 - Kubernetes' word
        """Return an error as plain text."""
        headers = {"Retry-After": "1"} if status == 503 else None
        return web.Response(status=status, text=f"{message}\n", headers=headers, content_type="text/plain")

    def _allowed(self, resource: _Resource, handler: _Answer) -> Handler:
        """Return *handler* for callers with the right to *resource*; errors of the request become HTTP."""

        async def handle(request: web.Request) -> web.StreamResponse:
            name, project = f"{resource.name}.{GROUP}", request.match_info.get("project", "")
            if not await self._rights.may(request[CALLER], resource.verb, name, name=project):
                return self.error(403, "Forbidden", f"you may not {resource.verb} {name}, see docs/liquid.md")
            try:
                return await handler(request, project)
            except MalformedError as error:
                return self.error(400, "BadRequest", str(error))
            except UnknownProjectError as error:
                return self.error(404, "NotFound", str(error))
            except OutdatedError as error:
                return self.error(409, "Conflict", str(error))
            except RefusedError as error:
                return self.error(422, "Invalid", str(error))

        return handle

    async def _info(self, _: web.Request, __: str) -> web.Response:
        return _json(await self._source.info())

    async def _report_capacity(self, request: web.Request, _: str) -> web.Response:
        return _json(await self._source.capacity(read_zones(await request.read())))

    async def _report_usage(self, request: web.Request, project: str) -> web.Response:
        return _json(await self._source.usage(project, read_zones(await request.read(), project=project)))

    async def _change_commitments(self, request: web.Request, _: str) -> web.Response:
        asked = read_changes(await request.read())
        answer = await self._source.change(asked)
        changed = [each.uuid for _, _, each in asked.every()]
        log.info(
            "changes of commitments",
            caller=request[CALLER].name,
            zone=asked.zone,
            number=len(changed),
            commitments=changed[:_MOST_LOGGED],
            dry_run=asked.is_dry_run,
            rejected=answer.get("rejectionReason", ""),
        )
        return _json(answer)

    async def _set_quota(self, request: web.Request, project: str) -> web.Response:
        quotas = read_quotas(await request.read(), project=project)
        await self._source.set_quotas(project, quotas)
        log.info("quotas of a project", caller=request[CALLER].name, project=project, quotas=dict(quotas))
        return web.Response(status=204)


_Answer: TypeAlias = Callable[[web.Request, str], Awaitable[web.Response]]
"""Answers a request, on a project if its path names one."""


class _Resource(NamedTuple):
    """What stands behind the version in a path, how it is asked for, and the verb that API servers take that for."""

    name: str
    kind: str
    method: str
    verb: str


_RESOURCES: Final = (
    _Resource("info", "ServiceInfo", "GET", "list"),
    _Resource("report-capacity", "ServiceCapacityReport", "POST", "create"),
    _Resource("change-commitments", "CommitmentChange", "POST", "create"),
    _Resource("projects/report-usage", "ServiceUsageReport", "POST", "create"),
    _Resource("projects/quota", "ServiceQuota", "PUT", "update"),
)


def _resource_list() -> Json:
    """Return the APIResourceList."""
    listed = [
        {"name": each.name, "singularName": "", "namespaced": False, "kind": each.kind, "verbs": [each.verb]}
        for each in _RESOURCES
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{_VERSION}", "resources": listed}


def _json(document: Json) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")
