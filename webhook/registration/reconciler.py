"""
Reconciles our webhook configurations in the API server.

A `Form` (Service or URL) says which fields are ours and what they must be; other fields are left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import structlog

from webhook.kube.api import APPLY, ApiError, ConflictError, InvalidError, KubernetesApi
from webhook.ports import READY, Condition, Trust, WebhookError
from webhook.registration import live
from webhook.registration.api_service import ApiServiceBundle
from webhook.registration.bundles import OVERLAP_SECONDS, Overlap, certificates, in_all
from webhook.registration.counted_rules import CountedResources, CountedRules
from webhook.registration.edit_rules import EditRules
from webhook.registration.fields import KeptFields
from webhook.registration.forms import Form, Write
from webhook.registration.live import LiveWebhook
from webhook.registration.manifest import RegistrationError, WebhookManifest

log = structlog.get_logger(__name__)

# An emptied caBundle makes every charged request fail until the next check.
CHECK_SECONDS: Final = 30.0
# After a failed check. Short: until one succeeds calls may fail, and what is missing may be about to be installed.
RETRY_SECONDS: Final = 2.0
# Between two checks that changes ask for: another program may write what we write, again and again.
_APART_SECONDS: Final = 1.0


def _ignore(_: object = None) -> None:
    """Do nothing about it."""


class Registration:
    """
    Write what *form* wants with the caBundle of *trust*, read it back, and check it every *check_seconds*.

    *on_drift* is called with the kind of a configuration that others have changed since it was as wanted. *on_read* is
    called with our webhooks by name as they were read, None for one that is missing. Several replicas may run this at
    once, for a while also with different certificates, see ``Overlap``. Resources in *counted* are intercepted by
    webhooks of their own beside the first of each configuration, see ``CountedRules`` and ``EditRules``. The caBundle
    of *view* is kept as well, where it is installed; *on_view_error* is called each time that it cannot be. For
    *repairs* see ``KeptFields``; *on_change* is called with a line when fields differ otherwise than before, and when
    API servers cannot call us for another reason than before. Belongs to one event loop.
    """

    def __init__(  # noqa: PLR0913 - only wiring calls this
        self,
        api: KubernetesApi,
        form: Form,
        trust: Trust,
        *,
        on_drift: Callable[[str], None],
        on_read: Callable[[Mapping[str, LiveWebhook | None]], None] = _ignore,
        counted: Callable[[], CountedResources | None] = CountedResources,
        monotonic: Callable[[], float] = time.monotonic,
        view: ApiServiceBundle | None = None,
        on_view_error: Callable[[], None] = _ignore,
        repairs: bool = False,
        on_change: Callable[[str], None] = _ignore,
        check_seconds: float = CHECK_SECONDS,
        overlap_seconds: float = OVERLAP_SECONDS,
    ) -> None:
        self._api = api
        self._form = form
        self._trust = trust
        self._on_drift = on_drift
        self._on_read = on_read
        self._check_seconds = check_seconds
        self._overlap = Overlap(monotonic, seconds=overlap_seconds)
        self._counted_rules = CountedRules(form.manifests, counted, monotonic, seconds=overlap_seconds)
        self._edit_rules = EditRules(
            lambda: None if (known := counted()) is None else known.edits, monotonic, seconds=overlap_seconds
        )
        self._fields = KeptFields(api, form.manifests, repairs=repairs, on_change=on_change, monotonic=monotonic)
        self._view = view
        self._on_view_error = on_view_error
        self._view_trouble = ""
        self._on_change = on_change
        self._trouble = ""
        self._woken = asyncio.Event()
        self._found: dict[str, Mapping[str, LiveWebhook] | None] = {}
        self._reconciled: dict[str, tuple[bytes, ...]] = {}  # by kind: the certificates with which it was as wanted
        self._registered = False
        self._logged: dict[str, str] = {}

    @property
    def registered(self) -> bool:
        """
        Whether the last check succeeded.

        If the API server fails one, the value stays, and turns false only if what was read would not lead API servers
        to us: at our address, trusting a certificate of ours. A read alone never makes it true; a configuration that
        cannot be reconciled makes it false.
        """
        return self._registered

    def condition(self) -> Condition:
        """Return whether the last check succeeded, see `registered`, or what it lacked."""
        if self._registered:
            return READY
        why = f": {self._trouble}" if self._trouble else ""
        return Condition(False, "registration", f"the webhook configurations are not in place{why}")

    def fields_condition(self) -> Condition:
        """Return whether the fields that are not ours to write are those of this version."""
        return self._fields.condition()

    def view_condition(self) -> Condition:
        """Return whether the caBundle of the APIService could be kept; READY before the first check or without one."""
        if not self._view_trouble:
            return READY
        why = f"people may not see quotas, the caBundle of the APIService is not kept: {self._view_trouble}"
        return Condition(ok=False, reason="view-bundle", message=why)

    async def register(self) -> None:
        """
        Reconcile every configuration, and read it back.

        Raises: RegistrationError if one cannot be reconciled; ApiError if the API server refuses or does not answer.
        """
        try:
            await self._register()
        except RegistrationError as error:
            self._registered = False
            if self._trouble != str(error):
                self._trouble = str(error)
                self._on_change(self._trouble)
            raise
        self._registered, self._trouble = True, ""

    async def may_have_been_called(self) -> bool:
        """
        Whether an API server may have sent a review before now: a caBundle or a URL is set, or it cannot be read.

        A URL is only there if a replica has written it; API servers may trust its certificate without a caBundle.
        Raises: ApiError.
        """
        for manifest in self._form.manifests:
            try:
                found = await live.read(self._api, manifest)
            except RegistrationError:
                return True
            if any(each.ca_bundle or each.url for each in (found or {}).values()):
                return True
        return False

    async def wait_until_read(self) -> None:
        """
        Read until the API server has answered once, and write nothing.

        The watches wait for the exempt namespaces that this reads. An error is logged when its text changes.
        """
        while True:
            try:
                await self._read_all()
            except (ApiError, RegistrationError) as error:
                self._log_change("webhook configuration not read", error)
                await asyncio.sleep(min(RETRY_SECONDS, self._check_seconds))
            else:
                return

    def wake(self) -> None:
        """Run the next check now: what is counted has changed, or a configuration."""
        self._woken.set()

    async def keep_registered(self) -> None:
        """Check and reconcile forever; run it as a task. An error is retried, and logged when its text changes."""
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            begun = loop.time()
            try:
                await self.register()
                self._log_change("webhook configuration not registered", None)
                pause = self._check_seconds
            except (ApiError, RegistrationError) as error:
                self._log_change("webhook configuration not registered", error)
                pause = min(RETRY_SECONDS, self._check_seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()
                    await asyncio.sleep(begun + _APART_SECONDS - loop.time())

    async def _register(self) -> None:
        # If our certificates cannot be refreshed, those of others may be newer: none is removed then.
        may_remove = await self._refresh()
        await self._read_all()
        self._report_common_certificates()
        wanted = certificates(self._trust.ca_bundle)
        # Here `registered` may only become false: if the write below fails, this read is all that is known.
        self._registered = self._registered and self._can_be_called(wanted)
        added = self._overlap.observe(self._bundles(), wanted=wanted) if wanted else frozenset()
        for manifest in self._form.manifests:
            self._note_added(manifest, wanted, added)
            await self._ensure(manifest, wanted, may_remove=may_remove)
        if await self._fields.check(self._found):
            await self._read_all()
        await self._ensure_counted()
        self._publish()
        self._check_calls()
        await self._ensure_view(wanted, may_remove=may_remove)

    async def _ensure(self, manifest: WebhookManifest, wanted: tuple[bytes, ...], *, may_remove: bool) -> None:
        self._check_installed(manifest)
        writes = self._needed(manifest, wanted, may_remove=may_remove)
        if writes:
            if self._needed(manifest, wanted, may_remove=False):  # to remove an old certificate is no drift
                self._note_drift(manifest, wanted)
            for write in writes:
                await self._apply(manifest, write)
            await self._read(manifest)
            self._check_installed(manifest)  # it may have been deleted since, or installed again
            if left := self._needed(manifest, wanted, may_remove=may_remove):
                names = ", ".join(name for write in left for name in write.webhooks)
                raise RegistrationError(f"{manifest}: what was written to {names} is gone: see who else writes it")
        self._reconciled[manifest.kind] = wanted

    async def _ensure_counted(self) -> None:
        """Write the webhooks of `CountedRules` and `EditRules`: copies of the first one of a configuration."""
        found = {manifest.kind: self._found[manifest.kind] or {} for manifest in self._form.manifests}
        parts = self._counted_rules.wanted(found)
        for manifest in self._form.manifests:
            live_now = found[manifest.kind]
            writes = (
                self._counted_rules.write(manifest, live_now, parts),
                self._edit_rules.write(manifest, live_now),
            )
            for write in filter(None, writes):
                await self._apply(manifest, write)
                await self._read(manifest)

    async def _ensure_view(self, wanted: tuple[bytes, ...], *, may_remove: bool) -> None:
        """Keep the caBundle of the APIService for the quota view. No review depends on it: an error is only told."""
        if self._view is None or not wanted:
            return
        try:
            await self._view.ensure(wanted, may_remove=may_remove)
        except (ApiError, RegistrationError) as error:
            self._view_trouble = str(error)
            self._on_view_error()
            self._log_change("the caBundle of the APIService is not kept", error)
        else:
            self._view_trouble = ""
            self._log_change("the caBundle of the APIService is not kept", None)

    def _check_installed(self, manifest: WebhookManifest) -> None:
        """Raises: RegistrationError if what others have to install is not there."""
        if self._form.installs:
            return
        found = self._found[manifest.kind]
        if found is None:
            raise RegistrationError(f"{manifest} is not in the cluster: apply the manifests")
        if missing := ", ".join(sorted(manifest.paths.keys() - found.keys())):
            raise RegistrationError(f"{manifest} lacks {missing}: apply the manifests of this version again")

    def _can_be_called(self, wanted: tuple[bytes, ...]) -> bool:
        """Whether what was read leads API servers to us. One of the *wanted* certificates is enough to be trusted."""
        for manifest in self._form.manifests:
            found = self._found[manifest.kind] or {}
            if manifest.paths.keys() - found.keys():
                return False
            held = {name: found[name].ca_bundle for name in manifest.paths}
            if self._form.writes(manifest, found, held):  # with these bundles only an address can be wrong
                return False
            if wanted and any(set(wanted).isdisjoint(certificates(bundle)) for bundle in held.values()):
                return False
        return True

    def _check_calls(self) -> None:
        """Raise RegistrationError where an API server that calls as it is written would refuse what is served."""
        calls: dict[tuple[str, bytes], list[str]] = {}
        for manifest in self._form.manifests:
            for name, each in (self._found[manifest.kind] or {}).items():
                if each.host:
                    calls.setdefault((each.host, each.ca_bundle), []).append(name)
        for (host, bundle), names in calls.items():
            try:
                self._trust.check_call(host, bundle)
            except WebhookError as error:
                raise RegistrationError(f"calls of {', '.join(names)} to {host} fail: {error}") from error

    def _needed(self, manifest: WebhookManifest, wanted: tuple[bytes, ...], *, may_remove: bool) -> tuple[Write, ...]:
        found = self._found[manifest.kind] or {}
        bundles = {
            name: self._overlap.merge(
                found[name].ca_bundle if name in found else b"", wanted=wanted, may_remove=may_remove
            )
            for name in manifest.paths
            if wanted
        }
        return tuple(self._form.writes(manifest, found, bundles))

    async def _apply(self, manifest: WebhookManifest, write: Write) -> None:
        query = {"fieldManager": write.manager, **({"force": "true"} if write.force else {})}
        names = ", ".join(write.webhooks)
        try:
            await self._api.patch(manifest.address, write.body, content_type=APPLY, query=query)
        except InvalidError as error:
            raise RegistrationError(f"{manifest} is refused ({error.message}): {self._form.advice}") from error
        except ConflictError as error:
            if write.force:
                raise
            paths = ", ".join(sorted({manifest.paths[name] for name in write.webhooks}))
            advice = f"userquota does not answer there: set {paths}, or apply the manifests of this version again"
            raise RegistrationError(
                f"{manifest}: another field manager changed the path of {names}, and {advice}"
            ) from error

    async def _read_all(self) -> None:
        for manifest in self._form.manifests:
            await self._read(manifest)
        self._publish()

    async def _read(self, manifest: WebhookManifest) -> None:
        self._found[manifest.kind] = await live.read(self._api, manifest)

    def _bundles(self) -> Iterator[bytes]:
        for found in self._found.values():
            yield from (each.ca_bundle for each in (found or {}).values())

    def _publish(self) -> None:
        self._on_read(live.named(self._form.manifests, self._found))

    async def _refresh(self) -> bool:
        try:
            await self._trust.refresh()
        except WebhookError as error:
            self._log_change("certificates not refreshed", error)
            return False
        self._log_change("certificates not refreshed", None)
        return True

    def _report_common_certificates(self) -> None:
        """Tell *trust* which certificates every caBundle has: the serving certificate may change to one of these."""
        of_policy = (*self._counted_rules.present(self._found), *self._edit_rules.present(self._found))
        webhooks = [*live.named(self._form.manifests, self._found).values(), *of_policy]
        bundles = [certificates(each.ca_bundle) if each else () for each in webhooks]
        try:
            self._trust.trusted(in_all(bundles))
        except WebhookError as error:
            self._log_change("serving certificate not replaced", error)

    def _note_added(self, manifest: WebhookManifest, wanted: tuple[bytes, ...], added: frozenset[bytes]) -> None:
        """Report a caBundle to which somebody has *added* certificates that this replica does not want."""
        found = (self._found[manifest.kind] or {}).values()
        if any(not added.isdisjoint(certificates(each.ca_bundle)) for each in found):
            log.info("the caBundle holds certificates that this replica does not want", configuration=str(manifest))
            self._note_drift(manifest, wanted)

    def _note_drift(self, manifest: WebhookManifest, wanted: tuple[bytes, ...]) -> None:
        """Report a configuration that was as wanted with the same certificates, once until it is so again."""
        if self._reconciled.pop(manifest.kind, None) == wanted:
            log.warning("webhook configuration was changed by others", configuration=str(manifest))
            self._on_drift(manifest.kind)

    def _log_change(self, event: str, error: WebhookError | None) -> None:
        """Log *error* if its text has changed since the last time; None if there is none."""
        reason = "" if error is None else str(error)
        if reason and reason != self._logged.get(event):
            log.warning(event, reason=reason)
        self._logged[event] = reason
