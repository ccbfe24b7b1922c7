"""
Decode the events of lists and watches in one pass into a caller's own struct, and define the sink that they go to.

An object that does not fit the struct (`Undecodable`) is distinguished from a broken stream (`MalformedError`).
"""

from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from webhook.kube.api.versions import parsed
from webhook.ports import WebhookError
from webhook.quota.errors import UNREADABLE

_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


class Versioned(Protocol):
    """Metadata of an API object, as far as this package needs it."""

    @property
    def resource_version(self) -> str:
        """The version, as the API writes it."""


class ApiObject(Protocol):
    """What an item's struct has to have: a field that msgspec decodes from `metadata`."""

    @property
    def metadata(self) -> Versioned:
        """Name, uid, version and whatever else the struct has fields for."""


T = TypeVar("T", bound=ApiObject)
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """
    What a reflector keeps in step. Called from one task, one call at a time; must be quick.

    A state may come twice, and states in between may never come. An exception ends the reflector.
    """

    def started(self) -> None:
        """Begin a full list, perhaps again before the last one was complete: discard what that one showed."""

    def seen(self, item: T_contra) -> None:
        """Record an object that exists in this state: added, modified, or part of the list."""

    def gone(self, item: T_contra) -> None:
        """
        Record that an object was deleted, or no longer fits the query: its last state, with the version of the change.

        This may come during a list, too.
        """

    def synced(self, resource_version: int) -> None:
        """End the list, which is complete at that version: what was not `seen` since `started` is gone."""

    def reached(self, resource_version: int) -> None:
        """Record that every change up to that version has come; only after `synced`, not during a list."""


class MalformedError(WebhookError):
    """An answer is not what an API server sends: no JSON, no event, no list."""


class ResourceVersionError(WebhookError):
    """A resourceVersion is no integer: nothing could be compared."""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """
    An object that does not fit the struct; `problem` names the field. `is_gone` if it was deleted.

    All but `problem` is empty for an object that is nested too deeply to be read at all.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    problem: str
    is_gone: bool = False


# One tagged union decodes an event in one pass: 6.7 us for a pod of 4.5 kB, against 11.5 us when the type is read first
# and the object is kept raw for a second pass.
class _Change(msgspec.Struct, Generic[T], tag_field="type", frozen=True, gc=False):
    object: T


class Added(_Change[T], tag="ADDED", frozen=True, gc=False):
    """An object that was created, or that now matches the selector, or one of the initial ones."""


class Modified(_Change[T], tag="MODIFIED", frozen=True, gc=False):
    """An object with something changed."""


class Deleted(_Change[T], tag="DELETED", frozen=True, gc=False):
    """The last state of an object, under the resourceVersion of its deletion."""


class _BookmarkMeta(msgspec.Struct, rename="camel"):
    resource_version: str
    annotations: dict[str, str] | None = None


class _BookmarkObject(msgspec.Struct):
    metadata: _BookmarkMeta


class Bookmark(msgspec.Struct, tag_field="type", tag="BOOKMARK"):
    """A version that the watch has reached, without a change."""

    object: _BookmarkObject

    @property
    def ends_initial_events(self) -> bool:
        """Whether every object that existed has now been sent."""
        return (self.object.metadata.annotations or {}).get(_INITIAL_EVENTS_END) == "true"


class Failure(msgspec.Struct, tag_field="type", tag="ERROR"):
    """The watch failed; the object is a `Status`."""

    object: msgspec.Raw


Event: TypeAlias = Added[T] | Modified[T] | Deleted[T] | Bookmark | Failure


class _Identity(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _AnyObject(msgspec.Struct):
    metadata: _Identity


class _AnyEvent(msgspec.Struct):
    type: str
    object: _AnyObject


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str
    next_page: str = msgspec.field(name="continue", default="")


class _ListHead(msgspec.Struct):
    metadata: _ListMeta


class _Page(_ListHead, Generic[T]):
    items: list[T] | None = None


class _RawPage(_ListHead):
    items: list[msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_page` is the token of the following one, empty on the last."""

    resource_version: int
    next_page: str
    items: list[T] | list[T | Undecodable]


class Decoder(Generic[T]):
    """Decodes the events and pages of one kind of object."""

    def __init__(self, item_type: type[T]) -> None:
        union = _of(Added, item_type) | _of(Modified, item_type) | _of(Deleted, item_type) | Bookmark | Failure
        self._event: msgspec.json.Decoder[Event[T]] = msgspec.json.Decoder(union)
        self._page: msgspec.json.Decoder[_Page[T]] = msgspec.json.Decoder(_of(_Page, item_type))
        self._item = msgspec.json.Decoder(item_type)

    def event(self, line: bytes) -> Event[T] | Undecodable:
        """
        Decode one line of a watch; Undecodable for an object that does not fit the struct.

        Raises: MalformedError if it is no event at all.
        """
        try:
            return self._event.decode(line)
        except UNREADABLE as error:
            return _undecodable_event(line, str(error))

    def page(self, body: bytes) -> Page[T]:
        """
        Decode one page of a list.

        Raises: MalformedError if it is no list at all; ResourceVersionError.
        """
        try:
            page = self._page.decode(body)
        except msgspec.ValidationError:
            return self._page_with_a_misfit(body)
        except UNREADABLE as error:
            raise MalformedError(f"the answer is no list: {error}") from error
        return Page(as_integer(page.metadata.resource_version), page.metadata.next_page, page.items or [])

    def _page_with_a_misfit(self, body: bytes) -> Page[T]:
        try:
            page = msgspec.json.decode(body, type=_RawPage)
            items = [self._decode_item(raw) for raw in page.items or ()]
        except UNREADABLE as error:
            raise MalformedError(f"the answer is no list: {error}") from error
        return Page(as_integer(page.metadata.resource_version), page.metadata.next_page, items)

    def _decode_item(self, raw: msgspec.Raw) -> T | Undecodable:
        try:
            return self._item.decode(raw)
        except msgspec.ValidationError as error:
            return _undecodable(msgspec.json.decode(raw, type=_AnyObject).metadata, str(error))


def list_version(body: bytes) -> int:
    """
    Return the resourceVersion of a list, skipping its items.

    Raises: MalformedError, ResourceVersionError.
    """
    try:
        head = msgspec.json.decode(body, type=_ListHead)
    except UNREADABLE as error:
        raise MalformedError(f"the answer is no list: {error}") from error
    return as_integer(head.metadata.resource_version)


def as_integer(resource_version: str) -> int:
    """
    Return a resourceVersion as an integer: Kubernetes promises one since 1.35, etcd has always made one.

    Raises: ResourceVersionError.
    """
    if (version := parsed(resource_version)) is not None:
        return version
    raise ResourceVersionError(f"the resourceVersion {resource_version[:64]!r} is no integer")


def _of(generic: Any, item_type: type[T]) -> Any:
    return generic[item_type]


def _undecodable_event(line: bytes, problem: str) -> Undecodable:
    try:
        loose = msgspec.json.decode(line, type=_AnyEvent)
    except RecursionError:
        # Opening the watch again would only bring the same line again.
        return _undecodable(_Identity(), problem)
    except UNREADABLE as error:
        raise MalformedError(f"a line of the watch is no event: {error}") from error
    return _undecodable(loose.object.metadata, problem, is_gone=loose.type == "DELETED")


def _undecodable(identity: _Identity, problem: str, *, is_gone: bool = False) -> Undecodable:
    return Undecodable(
        namespace=identity.namespace,
        name=identity.name,
        uid=identity.uid,
        resource_version=identity.resource_version,
        problem=problem,
        is_gone=is_gone,
    )
