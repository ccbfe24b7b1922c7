"""
Whether manifests would fit in the cluster as it is, for whoever asks: what userquota knows, as far as they may know it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from webhook.admission.advice import WorkloadAdvice
from webhook.admission.handler import AdmissionHandler
from webhook.admission.manifests import Author, Check, ManifestCheck, NoVerdictError
from webhook.documents.object_text import RawObject
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import Registry
from webhook.ports import Ancestry, Caller, CallerRights, Clock, Namespaces, UnavailableError
from webhook.quota.objects import UserExtra, UserInfo
from webhook.quota.usage import UsageIndex

_WITHIN: Final = 10.0
"""Seconds for one check, in which others wait: the API server is asked about each object."""

_MOST: Final = 150
"""Objects that count of one check: all are decided in one step, in which no review is answered."""


@dataclass(frozen=True, slots=True)
class LiveCheck:
    """
    Checks manifests with what answers reviews; *index* is that of the handler's ledger.

    Any number may run concurrently.
    """

    handler: AdmissionHandler
    advice: WorkloadAdvice
    index: UsageIndex
    exempt: Container[str]
    rights: CallerRights
    clock: Clock

    async def of(self, caller: Caller, namespace: str, objects: Sequence[RawObject]) -> Check:
        """
        Return whether *objects* would fit if *caller* submitted them now; those without one in *namespace*.

        Raises: UnavailableError, ReviewError, TooManyError.
        """
        handler = self.handler
        target = _CallersCluster(caller, self.rights, handler.ancestry, handler.kinds, handler.namespaces, self.exempt)
        user = UserInfo(caller.name, caller.groups, msgspec.convert(caller.extra, UserExtra))
        check = ManifestCheck(handler, self.advice, self.index, target, Author(user, namespace), most=_MOST)
        try:
            async with asyncio.timeout(_WITHIN):
                return await check.of(objects, deadline=self.clock.monotonic() + _WITHIN)
        except TimeoutError as error:
            why = f"the API server did not say within {_WITHIN:.0f} seconds all that a check has to know"
            raise UnavailableError("check-deadline", why) from error


class _CallersCluster:
    """
    Port `TargetCluster`, for one check of one caller.

    What is stored is read with our own rights. So it is read only for those who may change it, and that a name is taken
    is told only to those who would be told when they create an object.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one for each port
        self,
        caller: Caller,
        rights: CallerRights,
        reads: Ancestry,
        kinds: Registry,
        namespaces: Namespaces,
        exempt: Container[str],
    ) -> None:
        self._caller = caller
        self._rights = rights
        self._reads = reads
        self._kinds = kinds
        self._namespaces = namespaces
        self._exempt = exempt
        self._known: dict[tuple[str, ...], bool] = {}

    def kind_of(self, written: RawObject) -> AnyKind | None:
        return self._kinds.of_object(written.api_version, written.kind)

    def is_exempt(self, namespace: str) -> bool:
        return namespace in self._exempt

    def remark_on(self, namespace: str) -> str:  # noqa: ARG002 - it is read, or there is no verdict
        return ""

    async def stored(self, kind: AnyKind, namespace: str, name: str) -> bytes | None:
        may_create = await self._may("create", kind, namespace)
        if not may_create and not await self._may_change(kind, namespace, name):
            raise NoVerdictError(f"you may not create {kind.resource} in namespace {namespace}")
        try:
            await self._namespaces.labels(namespace)
        except UnavailableError as error:
            if error.reason != "namespace":
                raise
            raise NoVerdictError(f"{error}: create it first, since it decides whose limits bind") from error
        found = await self._reads.read_whole(kind, namespace, name, Raw) if name else None
        if found is None and not may_create:
            raise NoVerdictError(f"you may not create {kind.resource} in namespace {namespace}")
        if found is not None and not await self._may_change(kind, namespace, name):
            raise NoVerdictError(f"there is such an object in namespace {namespace}, and you may not change it")
        return None if found is None else bytes(found)

    async def _may_change(self, kind: AnyKind, namespace: str, name: str) -> bool:
        """Whether the caller may change an object of that name; most may change all, so that is asked first."""
        for verb in ("patch", "update"):
            if await self._may(verb, kind, namespace):
                return True
        return bool(name) and await self._may("patch", kind, namespace, name)

    async def _may(self, verb: str, kind: AnyKind, namespace: str, name: str = "") -> bool:
        asked = (verb, kind.resource, namespace, name)
        if asked not in self._known:
            self._known[asked] = await self._rights.may(
                self._caller, verb, kind.resource, namespace=namespace, name=name
            )
        return self._known[asked]
