"""
Keep a sink in step with one collection of the API server: list, watch, resume, list again.

Objects are not kept here, only the resourceVersion that was reached.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, NoReturn, TypeVar

import structlog

from webhook.kube.api import (
    JSON,
    ApiError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubernetesApi,
    NotFoundError,
    UnreachableError,
    api_error,
)
from webhook.kube.reflector.events import (
    ApiObject,
    Bookmark,
    Decoder,
    Deleted,
    Failure,
    MalformedError,
    Sink,
    Undecodable,
    as_integer,
    list_version,
)
from webhook.kube.reflector.recovery import Cause, Recovery
from webhook.ports import UnavailableError

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=ApiObject)

_PAGE_SIZE: Final = "500"
_PAGE_SECONDS: Final = 60.0
_AT_ONCE_SECONDS: Final = 1.0
_LINES_AT_ONCE: Final = 200  # about 1 ms: then the event loop may serve a request
_UNSERVED_PAUSE: Final = 5.0
_UNSERVED_SECONDS: Final = 60.0
# A quiet collection sends its first bookmark after 120 s (seen on 1.37.2), then one a minute.
_SILENCE_SECONDS: Final = 130.0


def _ignore(_: object) -> None:
    """Do nothing: no callback was given."""


class Reflector(Generic[T]):
    """
    Calls *sink* for everything in the collection at *path*, decoded as *item_type*, for as long as `run` runs.

    *query* selects (labels, fields); *resource* names the collection in logs; *accept* asks for another form of the
    objects, such as `METADATA_ONLY`. After *silence_seconds* without a byte the connection is taken for dead.
    *jitter* returns numbers from 0 to 1.

    A server may accept `sendInitialEvents` and never end the initial events (kubernetes/kubernetes#139716): if they do
    not end within *initial_events_seconds*, the reflector lists in pages from then on. 100 000 pods take about two
    seconds. Each watch is asked to end after a random time between *watch_seconds* and twice as much, so that the
    watches of all replicas do not end together.

    A collection under `/apis/` may be absent. If the API has answered 404 to every list for *unserved_seconds*, the
    sink is shown an empty list at *store_version*, the version that the whole store is at. Not before: while a control
    plane is updated, an API server of the older version answers 404 to what another one serves. Without *store_version*
    the sink keeps what it has.

    *on_restart* is called with the cause after each failed list or watch, and at the first 404 of an absent collection;
    not after the regular end of a watch, and not if the server refuses to list by watch. A quiet collection has the
    cause `stalled` now and then: an API server sends a bookmark each minute, but none before its cluster has written
    anything since the last one.

    *undecodable* is called instead of the sink for objects that do not fit *item_type*: one unforeseen object must
    neither end the watch nor cause endless lists, and only the caller can decide what an unknown cost means. Without it
    such objects are logged.
    """

    def __init__(  # noqa: PLR0913  one collection needs all of it, and only wiring calls this
        self,
        api: KubernetesApi,
        path: str,
        item_type: type[T],
        sink: Sink[T],
        *,
        resource: str,
        query: Mapping[str, str] | None = None,
        accept: str | None = None,
        silence_seconds: float = _SILENCE_SECONDS,
        initial_events_seconds: float = 60,
        watch_seconds: float = 240,
        unserved_seconds: float = _UNSERVED_SECONDS,
        store_version: Callable[[], Awaitable[int]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        on_restart: Callable[[Cause], None] = _ignore,
        undecodable: Callable[[Undecodable], None] | None = None,
    ) -> None:
        self._api = api
        self._path = path
        self._decoder = Decoder(item_type)
        self._sink = sink
        self._query = dict(query or {})
        self._accept = accept or JSON
        self._silence_seconds = silence_seconds
        self._initial_events_seconds = initial_events_seconds
        self._watch_seconds = watch_seconds
        self._unserved_seconds = unserved_seconds
        self._store_version = store_version
        self._clock = clock
        self._jitter = jitter
        self._on_restart = on_restart
        self._undecodable = undecodable or self._log_undecodable
        self._log = log.bind(resource=resource)
        self._last_answer_at = -math.inf
        self._is_synced = False
        self._unserved_since: float | None = None
        self._is_emptied = False  # the sink was shown an empty list since `_unserved_since`
        self._version: int | None = None  # None: a full list is needed
        self._lists_by_watch = True
        self._opened = False  # this attempt's watch was accepted
        self._lines = 0  # good lines in this attempt's watch
        self._was_silent = False
        self._is_relist_due = False  # `relist` was called, and no list has begun since
        self._watching: asyncio.Timeout | None = None  # ends the watch that runs
        self._recovery = Recovery()

    @property
    def synced(self) -> bool:
        """
        Whether the sink has had a complete list; false again once the API answers 404 to a list.

        How fresh the sink is: see `last_answer_at`.
        """
        return self._is_synced

    @property
    def served(self) -> bool:
        """Whether the API has the collection, as far as is known: false once it has answered 404 to a list."""
        return self._unserved_since is None

    @property
    def is_removed_from_api(self) -> bool:
        """Whether the API has not had the collection for so long that the sink was told that nothing is there."""
        return self._is_emptied and not self.served

    @property
    def last_answer_at(self) -> float:
        """When the server last sent anything, on the clock given; minus infinity before the first time."""
        return self._last_answer_at

    def relist(self, *, anew: bool = False) -> None:
        """
        End the running watch and list everything again.

        A list that is under way serves as that list, unless *anew*: from then on the sink leaves out other objects, or
        counts them otherwise. So everything is listed once more, after a paged list is complete; a list by watch ends
        at once.
        """
        if (anew or self._version is not None) and not self._is_relist_due:
            self._is_relist_due = True
            if self._watching is not None:
                self._watching.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> NoReturn:
        """
        Keep the sink in step until cancelled.

        Raises: UnauthorizedError when our credentials were refused five times in a row; ResourceVersionError; whatever
        the sink raises.
        """
        while True:
            self._opened, self._lines = False, 0
            try:
                await self._list_or_watch_once()
            except (ApiError, MalformedError) as error:
                if self._means_not_served(error):
                    await self._wait_unserved(error)
                else:
                    await asyncio.sleep(self._recover(error))

    async def _list_or_watch_once(self) -> None:
        if self._is_relist_due:
            self._is_relist_due, self._version = False, None
        if self._version is not None:
            if self._was_silent:
                await self._check_store(self._version)
            await self._watch({"resourceVersion": str(self._version)}, within=None)
        elif self._lists_by_watch:
            self._sink.started()
            options = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
            await self._watch(options, within=self._initial_events_seconds)
        else:
            await self._list()

    async def _watch(self, options: Mapping[str, str], *, within: float | None) -> None:
        seconds = round(self._watch_seconds * (1 + self._jitter()))
        query = {**self._query, **options, "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        opened_at = self._clock()
        stream = self._api.watch_lines(self._path, query=query, silence=self._silence_seconds, accept=self._accept)
        async with stream as lines:
            self._opened = True
            self._last_answer_at = self._clock()
            try:
                async with asyncio.timeout(0 if self._is_relist_due else within) as deadline:
                    self._watching = deadline
                    async for line in lines:
                        self._last_answer_at = self._clock()
                        if self._handle_line(line) and not self._is_relist_due:
                            deadline.reschedule(None)
                        self._lines += 1
                        if self._lines % _LINES_AT_ONCE == 0:
                            await asyncio.sleep(0)
            except TimeoutError as error:
                if self._is_relist_due:
                    return
                self._lists_by_watch = False
                raise self._broken(f"the initial events did not end within {within:g} s") from error
            finally:
                self._watching = None
        if self._version is None:
            raise self._broken("the watch ended before the initial events did")
        if not self._lines and self._clock() - opened_at < _AT_ONCE_SECONDS:
            raise self._broken("the watch ended at once")
        self._recovery.succeeded()

    def _handle_line(self, line: bytes) -> bool:
        """Pass one line of a watch to the sink; return whether it ended the initial events."""
        event = self._decoder.event(line)
        if isinstance(event, Bookmark):
            if self._version is None and event.ends_initial_events:
                self._synced_at(as_integer(event.object.metadata.resource_version))
                return True
            self._reached(event.object.metadata.resource_version)
        elif isinstance(event, Undecodable):
            self._undecodable(event)
            if event.resource_version:
                self._reached(event.resource_version)
        elif isinstance(event, Failure):
            raise api_error(event.object, request=f"GET {self._path}")
        else:
            item = event.object
            if isinstance(event, Deleted):
                self._sink.gone(item)
            else:
                self._sink.seen(item)
            self._reached(item.metadata.resource_version)
        return False

    async def _list(self) -> None:
        self._sink.started()
        query = {**self._query, "limit": _PAGE_SIZE}
        while True:
            body = await self._api.get(self._path, query=query, accept=self._list_accept, timeout=_PAGE_SECONDS)
            self._last_answer_at = self._clock()
            page = self._decoder.page(body)
            for number, item in enumerate(page.items, start=1):
                if isinstance(item, Undecodable):
                    self._undecodable(item)
                else:
                    self._sink.seen(item)
                if number % _LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)
            if not page.next_page:
                break
            query["continue"] = page.next_page
        self._synced_at(page.resource_version)

    async def _check_store(self, version: int) -> None:
        """
        Check after a silent watch that the store has reached *version*.

        A store that was restored from a backup is behind it, and a watch from a future version stays silent for ever.

        Raises: GoneError if it has not.
        """
        body = await self._api.get(self._path, query={**self._query, "limit": "1"}, accept=self._list_accept)
        self._last_answer_at = self._clock()
        self._was_silent = False
        if (now := list_version(body)) < version:
            raise GoneError(f"the store went back from {version} to {now}", request=f"GET {self._path}")

    def _synced_at(self, version: int) -> None:
        self._version = version
        self._is_synced, self._is_emptied, self._unserved_since = True, False, None
        self._sink.synced(version)
        self._log.info("in step", resource_version=version)

    def _reached(self, resource_version: str) -> None:
        if self._version is None:
            return  # initial events come in no order: their versions say nothing of what has been reached
        version = as_integer(resource_version)
        if version < self._version:
            raise GoneError(f"the watch went back from {self._version} to {version}", request=f"GET {self._path}")
        self._version = version
        self._sink.reached(version)

    def _log_undecodable(self, misfit: Undecodable) -> None:
        self._log.error(
            "an object cannot be read", namespace=misfit.namespace, name=misfit.name, problem=misfit.problem
        )

    def _recover(self, error: ApiError | MalformedError) -> float:
        """Prepare another attempt, and return the seconds to wait before it."""
        if self._version is None and self._lists_by_watch and _means_no_list_by_watch(error):
            self._lists_by_watch = False
            return 0.0
        if self._lines:
            self._recovery.succeeded()
        answered = self._opened or (isinstance(error, ApiError) and error.status > 0)
        retry = self._recovery.after(error, answered=answered, jitter=self._jitter())
        self._was_silent = retry.cause == "stalled"
        if retry.is_list_needed:
            self._version = None
        self._on_restart(retry.cause)
        if isinstance(error, ForbiddenError):
            self._log.error("a right is missing: list and watch", error=str(error))
        else:
            write = self._log.warning if retry.cause == "error" else self._log.info
            what = "everything is listed again" if self._version is None else "the watch is resumed"
            write(what, cause=retry.cause, pause=round(retry.pause, 3), error=str(error))
        return retry.pause

    def _means_not_served(self, error: ApiError | MalformedError) -> bool:
        """Whether the API has no such collection. The core group is never absent: another server sent such a 404."""
        return self._version is None and isinstance(error, NotFoundError) and self._path.startswith("/apis/")

    async def _wait_unserved(self, error: ApiError | MalformedError) -> None:
        """Record that the API has no such collection, and wait until it is time to look for it again."""
        if self._unserved_since is None:
            self._log.warning("the API does not serve this", error=str(error))
            self._on_restart("error")
            self._unserved_since = self._clock()
        self._is_synced = False
        if not self._is_emptied and self._clock() - self._unserved_since >= self._unserved_seconds:
            await self._empty()
        await asyncio.sleep(_UNSERVED_PAUSE)

    async def _empty(self) -> None:
        """
        Show the sink an empty list, if the API still answers 404.

        The store's version is read first: when a 404 comes after it, all that was stored up to that version is gone.
        """
        if self._store_version is None:
            return
        try:
            version = await self._store_version()
            await self._api.get(self._path, query={**self._query, "limit": "1"}, accept=self._list_accept)
        except NotFoundError:
            self._sink.started()
            self._sink.synced(version)
            self._is_emptied = True
            self._log.warning("nothing is counted of what the API does not serve any more", resource_version=version)
        except (ApiError, UnavailableError) as error:
            self._log.info("it is not known yet that nothing is there any more", error=str(error))

    def _broken(self, message: str) -> UnreachableError:
        return UnreachableError(message, request=f"GET {self._path}")

    @property
    def _list_accept(self) -> str:
        return self._accept.replace("as=PartialObjectMetadata;", "as=PartialObjectMetadataList;")


def _means_no_list_by_watch(error: ApiError | MalformedError) -> bool:
    """Whether *error* means that the server has no lists by watch: it refuses the options."""
    return isinstance(error, InvalidError) or (isinstance(error, ApiError) and error.status == 400)
