"""
Make another owner pay for a stored object: one patch that says that this is meant. The webhook decides on it.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from webhook.attribution.changes import HANDOVER_MANAGER, HANDOVER_WITH_GROUPS
from webhook.attribution.stamp import groups_text, read_stamp, written_owner
from webhook.kinds.evaluator import AnyKind
from webhook.kube.api import (
    MERGE_PATCH,
    METADATA_ONLY,
    UNREADABLE,
    ApiError,
    ConflictError,
    KubernetesApi,
    NotFoundError,
    ServerError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)
from webhook.ports import Sleep, UnavailableError
from webhook.quota.objects import GROUPS_ANNOTATION, OWNER_ANNOTATION, AnyObject, ObjectMeta
from webhook.quota.subject import Payer

_SECONDS = 40.0
"""Above the 34 s after which the API server gives a write up, webhooks included."""
_PAUSES = (0.2, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries: a replica that starts is ready within some."""
_CONFLICT_PAUSES = (0.05,) * 40
"""The same after conflicts. Controllers write many times a second to a workload whose pods come and go."""
_PASSING = (ServerError, TooManyRequestsError, UnreachableError)
"""The API server, or the webhook, is not ready: nobody has decided."""
_DENIED = "denied the request: "

_decoder = msgspec.json.Decoder(AnyObject)


@dataclass(frozen=True, slots=True)
class NewOwner:
    """Who is to pay. Without `groups` none are written, and the webhook stamps an empty list."""

    owner: str
    groups: tuple[str, ...] | None = None


class Answer(enum.Enum):
    """What became of a change. OTHER_OWNER: somebody else has got the object meanwhile, and keeps it."""

    DONE = "done"
    GONE = "gone"
    OTHER_OWNER = "other owner"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Changed:
    """
    The answer, and `text`: why it was refused, or who the other owner is.

    `meta` is the metadata of the changed object.
    """

    answer: Answer
    text: str = ""
    meta: ObjectMeta | None = None


class OwnerChanges:
    """Changes owners through one API server. Each object is a decision of its own."""

    def __init__(self, api: KubernetesApi, *, sleep: Sleep = asyncio.sleep) -> None:
        """Send patches through *api*; *sleep* waits before another try."""
        self._api = api
        self._sleep = sleep

    async def change(
        self, kind: AnyKind, meta: ObjectMeta, to: NewOwner, *, expected: str, dry_run: bool = False
    ) -> Changed:
        """
        Make *to* pay for the object if its owner annotation still is *expected*, empty for none.

        The patch names the version that was read, so that no other object of that name is changed. After a conflict the
        object is read again. An answer that was lost is no doubt: the next try finds what became of it.
        Raises: UnavailableError if there is no answer for some seconds, or the object changes without end; whether its
        owner has changed is not known.
        """
        path = kind.path(quote(meta.namespace, safe=""), quote(meta.name, safe=""))
        current: ObjectMeta | None = meta
        pauses, conflict_pauses = iter(_PAUSES), iter(_CONFLICT_PAUSES)
        while True:
            try:
                if current is None:
                    current = _decoder.decode(await self._api.get(path, accept=METADATA_ONLY)).metadata
                    found = _found(current, meta, to, expected)
                    if found is not None:
                        return found
                return _done(await self._patched(path, current, to, dry_run=dry_run), to)
            except (ConflictError, *_PASSING) as error:
                is_conflict = isinstance(error, ConflictError)
                pause = next(conflict_pauses if is_conflict else pauses, None)
                if pause is None:
                    raise UnavailableError("api-server", f"{kind.resource} {meta.name}: {error.whole}") from error
                current = None if is_conflict else current
            except (ApiError, *UNREADABLE) as error:
                return _ended(error)
            await self._sleep(pause)

    async def _patched(self, path: str, meta: ObjectMeta, to: NewOwner, *, dry_run: bool) -> ObjectMeta:
        stamp = {OWNER_ANNOTATION: to.owner}
        if to.groups is not None:
            stamp[GROUPS_ANNOTATION] = groups_text(Payer(to.owner, to.groups))
        body = msgspec.json.encode({"metadata": {"resourceVersion": meta.resource_version, "annotations": stamp}})
        manager = HANDOVER_MANAGER if to.groups is None else HANDOVER_WITH_GROUPS
        query = {"fieldManager": manager} | ({"dryRun": "All"} if dry_run else {})
        answer = await self._api.patch(path, body, content_type=MERGE_PATCH, query=query, timeout=_SECONDS)
        return _decoder.decode(answer).metadata


def _found(current: ObjectMeta, first: ObjectMeta, to: NewOwner, expected: str) -> Changed | None:
    """Return what is settled about an object that has changed since it was read *first*; None to try again."""
    if current.uid != first.uid:
        return Changed(Answer.GONE)
    owner = written_owner(current)
    if owner == to.owner:
        return _done(current, to)
    return None if owner == expected else Changed(Answer.OTHER_OWNER, owner)


def _done(meta: ObjectMeta, to: NewOwner) -> Changed:
    """Return what the stored object *meta* says of the change."""
    stamp = read_stamp(meta)
    if stamp is None or stamp.owner != to.owner:
        return Changed(Answer.REFUSED, "the API server did not ask userquota about it")
    return Changed(Answer.DONE, meta=meta)


def _ended(error: Exception) -> Changed:
    """Return what an error that stays says of the object. Raises: UnavailableError if that is nothing."""
    if isinstance(error, NotFoundError):
        return Changed(Answer.GONE)
    if not isinstance(error, ApiError):
        raise UnavailableError("api-server", f"the answer is no object: {error}") from error
    if isinstance(error, UnauthorizedError):
        raise UnavailableError("api-server", str(error)) from error
    return Changed(Answer.REFUSED, error.whole.rpartition(_DENIED)[2])
