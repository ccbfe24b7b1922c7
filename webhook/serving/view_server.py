"""
The server of the API group `view.userquota.dev`, on a port of its own: who may see what, in HTTP.

API servers pass requests on to it, see `front_proxy`. What is seen is made by `ViewSource`.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Final, Protocol

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Raw

from webhook.admission.manifests import TooManyError
from webhook.admission.review import ReviewError
from webhook.documents.object_text import RawObject, object_in
from webhook.ports import Caller, CallerRights, UnavailableError
from webhook.quota.errors import UNREADABLE
from webhook.quota.objects import ObjectKey, Shape
from webhook.quota.resources import canonical_name
from webhook.quota.subject import Subject
from webhook.serving.api_group import CALLER, REQUEST_ID, ApiGroup, request_id, static
from webhook.serving.callers import Proof
from webhook.serving.connections import Connections, Standing
from webhook.serving.front_proxy import FrontProxy
from webhook.serving.listener import Listener
from webhook.serving.replies import INTERNAL_ERROR, error_reply
from webhook.view import wire
from webhook.view.allocations import Allocation, Page, Selection, UnknownResourceError, UnknownTagError
from webhook.view.field_selector import FieldSelectorError, read_fields
from webhook.view.holders import AGE
from webhook.view.label_selector import LabelSelectorError, Term, read_terms

log = structlog.get_logger(__name__)

_BASE: Final = f"/apis/{wire.API_VERSION}"
_CHECKS_AT_ONCE: Final = 4
"""Checks whose body is in memory at the same time."""

_MOST_CONNECTIONS: Final = 256
"""A quarter is for callers that prove nothing. Each costs 50 kB while it is idle."""

_MOST_HOLDERS: Final = 500
_HOLDERS: Final = 50
_MOST_ALLOCATIONS: Final = 500
_ALLOCATIONS_A_STEP: Final = 50
"""Allocations that are written between two steps of the event loop, in about a millisecond."""

_SHUTDOWN_SECONDS: Final = 5.0


class ViewSource(Protocol):
    """Makes what is seen. Each raises UnavailableError while something is not known."""

    async def own(self, caller: Caller, namespace: str) -> wire.Json:
        """Return the SelfQuota of *caller*, with the limits of *namespace* if one is given."""
        ...

    async def check(self, caller: Caller, namespace: str, objects: Sequence[RawObject]) -> wire.Json:
        """
        Return the QuotaCheck of *objects*: whether they would fit if *caller* submitted them.

        Raises: ReviewError, TooManyError.
        """
        ...

    async def all(self) -> list[wire.Json]:
        """Return the Quotas of all subjects."""
        ...

    async def one(self, whom: Subject) -> wire.Json | None:
        """Return the Quota of *whom*; None for a subject that uses nothing and has no entry."""
        ...

    async def holders(self, resource: str, whom: Subject | None, limit: int) -> list[wire.Json]:
        """Return the Holders of most of *resource*, of all or of one subject; for AGE the oldest."""
        ...

    async def allocations(self, selection: Selection, limit: int, after: ObjectKey | None) -> Page:
        """
        Return the first allocations of *selection*, or those behind *after*.

        Raises: UnknownResourceError, UnknownTagError.
        """
        ...

    async def pools(self) -> Sequence[wire.Json]:
        """Return the Pools of nodes of which anything was promised."""
        ...

    async def commitments(self) -> Sequence[wire.Json]:
        """Return all Commitments."""
        ...

    async def commitment(self, name: str) -> wire.Json | None:
        """Return a Commitment with the objects that it covers; None if there is none."""
        ...


class ErrorMeter(Protocol):
    """Counts errors."""

    def count_error(self, reason: str) -> None:
        """Count one; *reason* is one of a few words, never a text from outside."""


class _Spec(Shape, frozen=True):
    namespace: str = ""


class _SelfQuota(Shape, frozen=True):
    spec: _Spec | None = None


class _Wanted(Shape, frozen=True, rename={"after": "continue"}, omit_defaults=True):
    namespace: str = ""
    resource: str = ""
    selector: str = ""
    limit: Annotated[int, msgspec.Meta(ge=0, le=_MOST_ALLOCATIONS)] = 0
    after: str = ""


class _SelfAllocation(Shape, frozen=True):
    spec: _Wanted | None = None


class _Manifests(Shape, frozen=True):
    objects: tuple[Raw, ...]
    namespace: str = ""


class _QuotaCheck(Shape, frozen=True):
    spec: _Manifests


_decoder = msgspec.json.Decoder(_SelfQuota)
_allocation_decoder = msgspec.json.Decoder(_SelfAllocation)
_check_decoder = msgspec.json.Decoder(_QuotaCheck)


class ViewServer:
    """Serves until it is closed."""

    def __init__(
        self,
        source: ViewSource,
        front_proxy: FrontProxy,
        rights: CallerRights,
        meter: ErrorMeter,
        *,
        others: Sequence[ApiGroup] = (),
    ) -> None:
        """
        Show what *source* makes to callers whom *front_proxy* believes, as far as they have *rights*.

        *others* are served on the same port, to the same callers.
        """
        self._others = others
        self._source = source
        self._front_proxy = front_proxy
        self._rights = rights
        self._meter = meter
        self._checks = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._connections = Connections(_MOST_CONNECTIONS, must_prove=lambda: True)
        self._listener: Listener | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen, see `site`; return the port. Raises: OSError if it is taken."""
        app = web.Application(client_max_size=wire.LARGEST_BODY, middlewares=[self._guard])
        app.router.add_get("/apis", static(wire.group_list(each.discovery() for each in self._others)))
        app.router.add_get(f"/apis/{wire.GROUP}", static(wire.group()))
        app.router.add_get(_BASE, static(wire.resource_list()))
        app.router.add_get("/openapi/v2", static(wire.openapi_v2()))
        app.router.add_get("/openapi/v3", static(wire.openapi_v3()))
        app.router.add_post(f"{_BASE}/selfquotas", self._create_self_quota)
        app.router.add_post(f"{_BASE}/selfallocations", self._create_self_allocation)
        app.router.add_post(f"{_BASE}/quotachecks", self._create_quota_check)
        app.router.add_get(f"{_BASE}/quotas", self._list_quotas)
        app.router.add_get(f"{_BASE}/quotas/{{name}}", self._get_quota)
        app.router.add_get(f"{_BASE}/holders", self._list_holders)
        app.router.add_get(f"{_BASE}/pools", self._list_pools)
        app.router.add_get(f"{_BASE}/commitments", self._list_commitments)
        app.router.add_get(f"{_BASE}/commitments/{{name}}", self._get_commitment)
        app.router.add_get(f"{_BASE}/allocations", self._list_allocations)
        app.router.add_get(f"{_BASE}/namespaces/{{namespace}}/allocations", self._list_allocations)
        for each in self._others:
            app.router.add_get(f"/apis/{each.name}", static(each.discovery()))
            each.add_routes(app.router)
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=120, shutdown_timeout=_SHUTDOWN_SECONDS, auto_decompress=False
        )
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 - it is set up
        self._listener = Listener(self._connections, self._runner.server, tls)
        return await self._listener.start(host, port)

    async def close(self) -> None:
        """Answer what is being answered, and stop."""
        if self._listener is not None:
            self._listener.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._listener is not None:
            self._listener.end_handshakes()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer under the id of the request, which each line of the log about it has as well."""
        given = request_id(request.headers)
        with structlog.contextvars.bound_contextvars(request_id=given):
            response = await self._guarded(request, handler)
        response.headers[REQUEST_ID] = given
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer callers who prove themselves, nobody else, and turn errors into answers that say nothing of others."""
        response: web.StreamResponse
        _, error = self._form(request)
        if not self._front_proxy.is_known:
            self._meter.count_error("view-front-proxy")
            response = error(503, "ServiceUnavailable", "it is not known yet how an API server proves itself")
        else:
            found = self._front_proxy.caller(request.get_extra_info("ssl_object"), request.headers.items())
            if found is Proof.OUTDATED:
                self._meter.count_error("view-outdated-connection")
                response = error(503, "ServiceUnavailable", "the trusted certificates have changed, connect again")
                response.force_close()
            elif isinstance(found, Proof):
                self._meter.count_error("view-unauthenticated")
                response = error(401, "Unauthorized", "ask the API server: it says who you are, see docs/view.md")
            else:
                connection = self._connections.of(request.protocol)
                connection.standing, connection.under_way = Standing.REVIEWING, True
                try:
                    response = await self._answer(found, request, handler)
                finally:
                    connection.under_way, connection.used_at = False, time.monotonic()
        return response

    async def _answer(self, caller: Caller, request: web.Request, handler: Handler) -> web.StreamResponse:
        request[CALLER] = caller
        group, told = self._form(request)
        try:
            return await handler(request)
        except UnavailableError as error:
            self._meter.count_error(f"{group}-{error.reason}")
            log.warning("nothing to see yet", reason=str(error))
            return told(503, "ServiceUnavailable", str(error))
        except web.HTTPException as error:
            return told(error.status, _REASONS.get(error.status, "BadRequest"), error.reason)
        except Exception:
            self._meter.count_error(f"{group}-internal")
            log.exception("internal error", path=request.path)
            return told(500, "InternalError", INTERNAL_ERROR)

    def _form(self, request: web.Request) -> tuple[str, Callable[[int, str, str], web.Response]]:
        """Return the first word of the group that is asked, for metrics, and how it tells errors."""
        asked = next((each for each in self._others if f"{request.path}/".startswith(f"/apis/{each.name}/")), None)
        return ("view", _error) if asked is None else (asked.name.partition(".")[0], asked.error)

    async def _create_self_quota(self, request: web.Request) -> web.Response:
        """Answer what binds the caller: the API server has decided that everybody may ask."""
        caller = request[CALLER]
        try:
            asked = _decoder.decode(await request.read())
        except UNREADABLE as error:
            return _error(400, "BadRequest", f"no SelfQuota: {error}")
        namespace = asked.spec.namespace if asked.spec else ""
        # Whether it is there or not: who may make nothing in a namespace is not told anything of it.
        if namespace and not await self._rights.may(caller, "create", "pods", namespace=namespace):
            return _error(
                403, "Forbidden", f"you may not create pods in namespace {namespace}: its limits do not bind you"
            )
        return _json(await self._source.own(caller, namespace), status=201)

    async def _create_self_allocation(self, request: web.Request) -> web.Response:
        """Answer what objects of the caller hold, wherever they are: nobody else's are in it."""
        caller = request[CALLER]
        try:
            asked = _allocation_decoder.decode(await request.read()).spec or _Wanted()
        except UNREADABLE as error:
            return _error(400, "BadRequest", f"no SelfAllocation: {error}")
        terms = _terms("selector", asked.selector)
        selection = Selection(owner=caller.name, namespace=asked.namespace, resource=asked.resource, terms=terms)
        page, items = await self._allocations(selection, asked.limit, asked.after, wire.allocated)
        return _json(wire.self_allocation(caller.name, msgspec.to_builtins(asked), page, items), status=201)

    async def _create_quota_check(self, request: web.Request) -> web.Response:
        """Answer whether objects would fit. On what the caller may not submit there is no verdict."""
        async with self._checks:
            try:
                spec = _check_decoder.decode(await request.read()).spec
            except UNREADABLE as error:
                return _error(400, "BadRequest", f"no QuotaCheck: {error}")
            objects: list[RawObject] = []
            for number, each in enumerate(spec.objects):
                try:
                    objects.append(object_in(bytes(each), source=f"spec.objects[{number}]"))
                except UNREADABLE as error:
                    return _error(400, "BadRequest", f"spec.objects[{number}]: {error}")
            try:
                return _json(await self._source.check(request[CALLER], spec.namespace, objects), status=201)
            except (ReviewError, TooManyError) as error:
                return _error(400, "BadRequest", str(error))

    async def _list_quotas(self, request: web.Request) -> web.Response:
        whom = _selected(request)
        if (refusal := await self._refusal(request[CALLER], "list", "quotas")) is not None:
            return refusal
        if whom is None:
            return _json(wire.listed("Quota", await self._source.all()))
        found = await self._source.one(whom)
        return _json(wire.listed("Quota", [] if found is None else [found]))

    async def _get_quota(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if (refusal := await self._refusal(request[CALLER], "get", "quotas", name=name)) is not None:
            return refusal
        found = await self._source.one(wire.subject_named(name))
        if found is None:
            return _error(404, "NotFound", f"{wire.subject_named(name)} uses nothing and has no entry in the policy")
        return _json(found)

    async def _list_holders(self, request: web.Request) -> web.Response:
        whom, written = _selected(request), request.query.get("sortBy", "requests.cpu")
        resource = AGE if written == AGE else canonical_name(written)
        limit = _limit(request, _MOST_HOLDERS, default=_HOLDERS)
        if resource is None:
            return _error(400, "BadRequest", f"sortBy: there is no resource {written}")
        if (refusal := await self._refusal(request[CALLER], "list", "holders")) is not None:
            return refusal
        return _json(wire.listed("Holder", await self._source.holders(resource, whom, limit)))

    async def _list_pools(self, request: web.Request) -> web.Response:
        if (refusal := await self._refusal(request[CALLER], "list", "pools")) is not None:
            return refusal
        return _json(wire.listed("Pool", await self._source.pools()))

    async def _list_commitments(self, request: web.Request) -> web.Response:
        if (refusal := await self._refusal(request[CALLER], "list", "commitments")) is not None:
            return refusal
        return _json(wire.listed("Commitment", await self._source.commitments()))

    async def _get_commitment(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if (refusal := await self._refusal(request[CALLER], "get", "commitments", name=name)) is not None:
            return refusal
        found = await self._source.commitment(name)
        return _error(404, "NotFound", f"there is no commitment {name}") if found is None else _json(found)

    async def _list_allocations(self, request: web.Request) -> web.Response:
        namespace = request.match_info.get("namespace", "")
        selection = _selection(request, namespace)
        limit, after = _limit(request, _MOST_ALLOCATIONS, least=0), request.query.get("continue", "")
        refusal = await self._refusal(request[CALLER], "list", "allocations", namespace=namespace)
        if refusal is not None:
            return refusal
        if _TABLE.match(request.headers.get("Accept", "")):
            page, rows = await self._allocations(selection, limit, after, wire.table_row)
            return _json(wire.allocation_table(page, rows))
        page, items = await self._allocations(selection, limit, after, wire.allocation)
        return _json(wire.allocation_list(page, items))

    async def _allocations(
        self, selection: Selection, limit: int, after: str, write: Callable[[Allocation], wire.Json]
    ) -> tuple[Page, list[wire.Json]]:
        """
        Return a page of allocations, and each of them as *write* makes it; the loop goes on in between.

        A *limit* of 0 is none of the client's, as in all of Kubernetes; *after* is what an answer had in `continue`.
        """
        try:
            behind = wire.continued(after) if after else None
        except ValueError as error:
            raise web.HTTPBadRequest(reason="continue: expected what an answer had there") from error
        try:
            page = await self._source.allocations(selection, limit or _MOST_ALLOCATIONS, behind)
        except (UnknownResourceError, UnknownTagError) as error:
            raise web.HTTPBadRequest(reason=str(error)) from error
        items: list[wire.Json] = []
        for number, each in enumerate(page.allocations, start=1):
            items.append(write(each))
            if not number % _ALLOCATIONS_A_STEP:
                await asyncio.sleep(0)
        return page, items

    async def _refusal(
        self, caller: Caller, verb: str, resource: str, *, namespace: str = "", name: str = ""
    ) -> web.Response | None:
        """Return the refusal of a caller without the right, None for one who has it."""
        if await self._rights.may(caller, verb, f"{resource}.{wire.GROUP}", namespace=namespace, name=name):
            return None
        where = f" in namespace {namespace}" if namespace else ""
        return _error(403, "Forbidden", f"you may not {verb} {resource}.{wire.GROUP}{where}, see manifests/README.md")


_REASONS: Final = {404: "NotFound", 405: "MethodNotAllowed", 413: "RequestEntityTooLarge"}
_SELECTABLE: Final = "spec.subject="


def _selected(request: web.Request) -> Subject | None:
    """Return the subject that the field selector of *request* names, None without a selector."""
    written = request.query.get("fieldSelector", "")
    if not written:
        return None
    if not written.startswith(_SELECTABLE):
        raise web.HTTPBadRequest(reason="fieldSelector: expected spec.subject=SUBJECT")
    return Subject(written.removeprefix(_SELECTABLE).removeprefix("="))


_TABLE: Final = re.compile(r"application/json;[^,]*\bas=Table\b", re.ASCII)
"""Begins what kubectl accepts when it prints a table. Behind it stands plain JSON, for servers that make none."""

_FIELDS: Final = {
    "spec.subject": "subject",
    "status.owner": "owner",
    "status.resource": "resource",
    "metadata.namespace": "namespace",
}


def _selection(request: web.Request, namespace: str) -> Selection:
    """Return the allocations that *request* asks for, in *namespace* if its path names one."""
    if request.query.get("watch", "") not in ("", "0", "false"):
        raise web.HTTPBadRequest(reason="watch: allocations cannot be watched, see docs/view.md")
    try:
        found = read_fields(request.query.get("fieldSelector", ""), _FIELDS)
    except FieldSelectorError as error:
        reason = f"fieldSelector: expected any of {', '.join(_FIELDS)}, once, with ="
        raise web.HTTPBadRequest(reason=reason) from error
    fields = {_FIELDS[name]: value for name, value in found.items()}
    if namespace and fields.setdefault("namespace", namespace) != namespace:
        raise web.HTTPBadRequest(reason="fieldSelector: metadata.namespace is another one than that of the path")
    selection = msgspec.convert(fields, Selection)
    return replace(selection, terms=_terms("labelSelector", request.query.get("labelSelector", "")))


def _terms(field: str, written: str) -> tuple[Term, ...]:
    """Return the conditions on tags in the label selector that *field* has."""
    try:
        return read_terms(written)
    except LabelSelectorError as error:
        raise web.HTTPBadRequest(reason=f"{field}: expected a label selector, as team=ml,cost-center!=7") from error


def _limit(request: web.Request, most: int, *, least: int = 1, default: int = 0) -> int:
    """Return how many objects *request* asks for."""
    written = request.query.get("limit", str(default))
    if not (written.isascii() and written.isdecimal()) or len(written) > 9 or not least <= int(written) <= most:
        raise web.HTTPBadRequest(reason=f"limit: expected a number from {least} to {most}")
    return int(written)


def _json(document: Mapping[str, object], *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(document), content_type="application/json")


def _error(status: int, reason: str, message: str) -> web.Response:
    body = error_reply(status, reason, message).body
    headers = {"Retry-After": "1"} if status == 503 else None
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
