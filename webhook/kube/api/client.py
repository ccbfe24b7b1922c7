"""
Send raw requests to the Kubernetes API server: bytes in, bytes out, our own errors, one pooled session.

No object is decoded here. A request is sent twice only if the server refused its token, or showed a certificate of an
unknown authority, and reading the credentials again gave others.
"""
# ruff: noqa: ASYNC109  a caller that has one deadline for several calls hands each the rest of it

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, Self
from urllib.parse import urlencode

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from webhook import __version__
from webhook.kube.api.connection import Connection, Credentials, from_kubeconfig, in_cluster, route_of
from webhook.kube.api.errors import NoConnectionError, SilenceError, UnreachableError, api_error

JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
"""Of a server-side apply; JSON is YAML, too."""
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""What to accept for an object without spec and status."""
_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_JSON: Final = MappingProxyType({"Accept": JSON})
_JSON_BOTH_WAYS: Final = MappingProxyType({"Accept": JSON, "Content-Type": JSON})
_CONNECTIONS: Final = 100
_CONNECT_SECONDS: Final = 10.0
_NO_TOTAL: Final = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
_IDLE_SECONDS: Final = 60.0  # below the 90 s after which the API server closes an idle connection
_READ_BUFFER: Final = 2**18
_WARNING: Final = re.compile(r'[0-9]{3} \S+ "((?:[^"\\]|\\.)*)"', re.ASCII)
"""A warning of a header: code, agent, and the text, in which a backslash stands before quotes and backslashes."""

# What aiohttp raises: HttpProcessingError is no ClientError, and a broken TLS stream is a bare OSError.
_TRANSPORT_ERRORS: Final = (aiohttp.ClientError, HttpProcessingError, OSError)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    _: KW_ONLY
    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class ActingAs(NamedTuple):
    """Whom requests are made for, by impersonation: the user of the credentials needs the right to."""

    user: str
    groups: tuple[str, ...] = ()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers that say so."""
        return [("Impersonate-User", self.user), *(("Impersonate-Group", group) for group in self.groups)]


def _ignore(text: str) -> None:
    """Do nothing: nobody reads warnings."""


class KubernetesApi:
    """
    One API server, or a balancer in front of several, as one identity.

    Paths are absolute and as they travel, such as ``/api/v1/pods``; timeouts are in seconds and cover the whole call.
    Every method raises ApiError and nothing else. Safe to share between the tasks of one event loop.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        session: aiohttp.ClientSession,
        route: str = "",
        on_warning: Callable[[str], None] = _ignore,
    ) -> None:
        """
        *route* says in words how the server is reached, for errors; empty where there is nothing to say. *on_warning*
        gets each warning that comes with an answer.
        """
        self._credentials = credentials
        self._session = session
        self._on_warning = on_warning
        self.route = route

    @classmethod
    async def connect(  # noqa: PLR0913 - all but the first have a default
        cls,
        *,
        kubeconfig: Path | None,
        context: str | None = None,
        acting_as: ActingAs | None = None,
        on_warning: Callable[[str], None] = _ignore,
        user_agent: str = f"userquota/{__version__}",
        environ: Mapping[str, str] = os.environ,
        service_account: Path = _SERVICE_ACCOUNT,
    ) -> Self:
        """
        Return a client of the cluster that *kubeconfig* names, None for the cluster we run in. Nothing is sent yet.

        Every request is made for *acting_as*, if given. *on_warning* gets what the server, or a webhook that it asked,
        warns of with an answer, as kubectl shows it. A pod finds its cluster in *environ*, and its token and the
        cluster's authorities in *service_account*.

        Raises: KubeconfigError.
        """

        async def load() -> Connection:
            if kubeconfig is None:
                return in_cluster(environ, service_account)
            return await from_kubeconfig(kubeconfig, context)

        connection = await load()
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Unpacking a page costs more than decoding it.
            headers=[
                ("User-Agent", user_agent),
                ("Accept-Encoding", "identity"),
                *(acting_as.headers if acting_as else ()),
            ],
            read_bufsize=_READ_BUFFER,
            timeout=_NO_TOTAL,
        )
        return cls(
            Credentials(connection, load), session=session, route=route_of(connection, environ), on_warning=on_warning
        )

    @property
    def namespace(self) -> str:
        """Return the namespace of the kubeconfig's context, or of our own pod; ``default`` if none is named."""
        return self._credentials.namespace

    async def get(
        self, path: str, *, query: Mapping[str, str] = _NOTHING, accept: str = JSON, timeout: float = 10
    ) -> bytes:
        """Return the answer's body; *accept* may ask for another form, such as the metadata only."""
        return await self._call(_Request("GET", path, query=query, headers={"Accept": accept}), timeout)

    async def date(self, *, timeout: float = 10) -> str:
        """Return the time by the server's clock as HTTP writes it, empty where the answer has none."""
        request = _Request("GET", "/version", headers={"Accept": JSON})
        with _translated(request, timeout, route=self.route):
            async with asyncio.timeout(timeout):
                response = await self._open(request, _NO_TOTAL)
                _let_go(response)
                return response.headers.get("Date", "")

    async def create(
        self, path: str, body: bytes, *, query: Mapping[str, str] = _NOTHING, timeout: float = 10
    ) -> bytes:
        """POST an object and return it as it was stored."""
        return await self._call(_Request("POST", path, query=query, headers=_JSON_BOTH_WAYS, body=body), timeout)

    async def replace(
        self, path: str, body: bytes, *, query: Mapping[str, str] = _NOTHING, accept: str = JSON, timeout: float = 10
    ) -> bytes:
        """
        PUT an object if the stored one still has the body's ``metadata.resourceVersion``; return it as it was stored.

        *accept* as for ``get``.

        A ConflictError does not prove that this very write was not made: aiohttp sends a PUT again when a kept
        connection breaks before the answer, and the second one finds the first.
        """
        headers = {"Accept": accept, "Content-Type": JSON}
        return await self._call(_Request("PUT", path, query=query, headers=headers, body=body), timeout)

    async def patch(
        self, path: str, body: bytes, *, content_type: str, query: Mapping[str, str] = _NOTHING, timeout: float = 10
    ) -> bytes:
        """PATCH an object, as *content_type* says, and return it as it was stored."""
        headers = {"Accept": JSON, "Content-Type": content_type}
        return await self._call(_Request("PATCH", path, query=query, headers=headers, body=body), timeout)

    async def delete(self, path: str, *, timeout: float = 10) -> bytes:
        """DELETE an object and return the answer: a Status, or the object while it terminates."""
        return await self._call(_Request("DELETE", path, headers=_JSON), timeout)

    @asynccontextmanager
    async def watch_lines(
        self, path: str, *, query: Mapping[str, str], silence: float, accept: str = JSON
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """
        Open a watch and iterate over its lines, one JSON event each, of any size, until the server ends the watch.

        Raises: ApiError when the server refuses; SilenceError after *silence* seconds without a byte; UnreachableError
        when the connection breaks.
        """
        request = _Request("GET", path, query={"watch": "1", **query}, headers={"Accept": accept})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=silence)
        with _translated(request, silence, route=self.route):
            response = await self._open(request, timeout)
        try:
            async with aclosing(_lines(response.content, request=request, silence=silence)) as lines:
                yield lines
        finally:
            _let_go(response)

    async def close(self) -> None:
        """Close every connection; open watches and later calls end with an UnreachableError."""
        await self._session.close()

    async def _call(self, request: _Request, timeout: float) -> bytes:
        with _translated(request, timeout, route=self.route):
            async with asyncio.timeout(timeout):
                response = await self._open(request, _NO_TOTAL)
                for text in _warnings(response):
                    self._on_warning(text)
                try:
                    return await response.read()
                finally:
                    _let_go(response)

    async def _open(self, request: _Request, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """Send a request, once more if credentials were refused and there are new ones; return an answer below 300."""
        if self._session.closed:
            raise UnreachableError("the client is closed", request=str(request))
        connection = await self._credentials.current()
        try:
            response = await self._send(request, timeout, connection)
        except aiohttp.ClientConnectorCertificateError:
            if not await self._credentials.renewed(connection):
                raise
            connection = await self._credentials.current()
            response = await self._send(request, timeout, connection)
        if response.status == 401 and await self._credentials.renewed(connection):
            _let_go(response)
            response = await self._send(request, timeout, await self._credentials.current())
        if response.status < 300:
            return response
        try:
            body = await response.read()
        finally:
            _let_go(response)
        after = response.headers.get("Retry-After", "")
        raise api_error(body, request=str(request), status=response.status, retry_after=after)

    async def _send(
        self, request: _Request, timeout: aiohttp.ClientTimeout, connection: Connection
    ) -> aiohttp.ClientResponse:
        authorization = connection.authorization
        target = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
        return await self._session.request(
            request.method,
            URL(connection.host + target, encoded=True),
            data=request.body,
            headers={**request.headers, "Authorization": authorization} if authorization else request.headers,
            timeout=timeout,
            allow_redirects=False,
            proxy=connection.proxy,
            ssl=connection.tls,
            server_hostname=connection.server_hostname,
        )


def _warnings(response: aiohttp.ClientResponse) -> Iterator[str]:
    """Yield the warnings of an answer; what has another form is none."""
    for header in response.headers.getall("Warning", ()):
        for written in _WARNING.findall(header):
            yield re.sub(r"\\(.)", r"\1", written)


def _let_go(response: aiohttp.ClientResponse) -> None:
    """
    Keep the connection if the answer was read to its end, otherwise abort it.

    Closing it in order would wait for the peer's TLS close, which a stalled peer does not send.
    """
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.release()


async def _lines(content: aiohttp.StreamReader, *, request: _Request, silence: float) -> AsyncGenerator[bytes]:
    """Iterate over the lines of a stream, split here because aiohttp limits a line to its buffer."""
    unfinished: list[bytes] = []
    while True:
        with _translated(request, silence, late=SilenceError):
            chunk = await content.readany()
        if not chunk:
            break
        first, *others = chunk.split(b"\n")
        unfinished.append(first)
        if others:
            yield b"".join(unfinished)
            *whole, last = others
            for line in whole:
                yield line
            unfinished = [last]
    if any(unfinished):
        raise UnreachableError("the watch ended in the middle of an event", request=str(request))


@contextmanager
def _translated(
    request: _Request, seconds: float, *, late: type[UnreachableError] = UnreachableError, route: str = ""
) -> Iterator[None]:
    """Raise UnreachableError for what the transport raises, *late* where time ran out; it ends with the *route*."""
    end = f"; {route}" if route else ""
    try:
        yield
    except TimeoutError as error:
        raise late(f"no answer within {seconds:g} s{end}", request=str(request)) from error
    except aiohttp.ClientConnectorError as error:
        message = f"cannot connect to {error.host}:{error.port}: {error.os_error}{end}"
        raise NoConnectionError(message, request=str(request)) from error
    except aiohttp.ClientHttpProxyError as error:
        message = f"the proxy answers {error.status} {error.message}{end}"
        raise NoConnectionError(message, request=str(request)) from error
    except _TRANSPORT_ERRORS as error:
        raise UnreachableError(str(error) or type(error).__name__, request=str(request)) from error
