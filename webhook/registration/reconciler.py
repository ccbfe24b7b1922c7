"""
The loop that keeps our webhook configurations in the API server as they have to be.

What that is, is told by a form; nothing else of a configuration is compared or repaired.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from webhook.kube.api import ApiError, InvalidError, KubernetesApi, NotFoundError
from webhook.registration.manifest import RegistrationError, client_configs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.registration.forms import Form, Wanted

log = structlog.get_logger(__name__)

_APPLY: Final = "application/apply-patch+yaml"
# Whoever empties the caBundle stops every charged request until the next look.
CHECK_SECONDS: Final = 30.0
# While it does not hold nobody is served anyway, and what is missing may be on its way.
RETRY_SECONDS: Final = 2.0


class Registration:
    """
    Write what *form* wants, read it back, and go on looking.

    *on_drift* hears the kind of a configuration that had been right and was not any more. Several replicas that want
    the same may do this at once. Belongs to one event loop.
    """

    def __init__(
        self,
        api: KubernetesApi,
        form: Form,
        *,
        on_drift: Callable[[str], None],
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._api = api
        self._form = form
        self._on_drift = on_drift
        self._check_seconds = check_seconds
        self._poked = asyncio.Event()
        self._seen: dict[str, bytes] = {}
        self._registered = False

    @property
    def registered(self) -> bool:
        """Whether all was in place when it was last read. An API server that does not answer changes nothing."""
        return self._registered

    async def register(self) -> None:
        """
        Put every configuration right, and read it back.

        Raises: RegistrationError when one cannot be put right, ApiError when the API server refuses or does not answer.
        """
        try:
            for wanted in self._form.wanted():
                await self._ensure(wanted)
        except RegistrationError:
            self._registered = False
            raise
        self._registered = True

    async def may_have_been_called(self) -> bool:
        """
        Say whether any API server can have sent us a review before now: it trusts somebody who says he is we.

        Raises: ApiError.
        """
        for wanted in self._form.wanted():
            try:
                live = client_configs(await self._api.get(wanted.manifest.address))
            except NotFoundError:
                continue
            if any(fields["caBundle"] for fields in live.values()):
                return True
        return False

    def poke(self) -> None:
        """Have ``keep_registered`` look now: the bundle has changed, say."""
        self._poked.set()

    async def keep_registered(self) -> None:
        """Look for ever and put right; run it as a task. Trouble is logged once and tried again."""
        complaint = ""
        while True:
            self._poked.clear()
            try:
                await self.register()
                complaint, pause = "", self._check_seconds
            except (ApiError, RegistrationError) as error:
                pause = min(RETRY_SECONDS, self._check_seconds)
                if str(error) != complaint:
                    complaint = str(error)
                    log.warning("webhook configuration not registered", reason=complaint)
            try:
                await asyncio.wait_for(self._poked.wait(), pause)
            except TimeoutError:
                continue

    async def _ensure(self, wanted: Wanted) -> None:
        manifest = wanted.manifest
        live = await self._live(wanted)
        missing = ", ".join(sorted(wanted.fields.keys() - live.keys()))
        if missing and not wanted.creatable:
            raise RegistrationError(f"{manifest} lacks {missing}: apply the manifests of this version again")
        if not _differing(wanted, live):
            self._seen[manifest.kind] = wanted.body
            return
        if self._seen.get(manifest.kind) == wanted.body:
            log.warning("webhook configuration was changed by others, putting it right", configuration=str(manifest))
            self._on_drift(manifest.kind)
        await self._apply(wanted)
        gone = ", ".join(_differing(wanted, await self._live(wanted)))
        if gone:
            raise RegistrationError(f"{manifest}: what was written to {gone} is gone: see who else writes it")
        self._seen[manifest.kind] = wanted.body

    async def _live(self, wanted: Wanted) -> Mapping[str, Mapping[str, str]]:
        try:
            return client_configs(await self._api.get(wanted.manifest.address))
        except NotFoundError as error:
            if wanted.creatable:
                return {}
            raise RegistrationError(f"{wanted.manifest} is not in the cluster: apply the manifests") from error

    async def _apply(self, wanted: Wanted) -> None:
        # By force: the fields are ours, whoever wrote them last.
        query = {"fieldManager": wanted.manager, "force": "true"}
        try:
            await self._api.patch(wanted.manifest.address, wanted.body, content_type=_APPLY, query=query)
        except InvalidError as error:
            advice = "if it was installed to be called through a Service, delete it first"
            raise RegistrationError(f"{wanted.manifest} is refused ({error.message}): {advice}") from error


def _differing(wanted: Wanted, live: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [name for name, fields in wanted.fields.items() if not fields.items() <= live.get(name, {}).items()]
