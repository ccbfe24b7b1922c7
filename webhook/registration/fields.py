"""
Keeps an eye on the fields of our webhook configurations that administrators own: rules, failurePolicy, selectors.

A change that somebody made by hand may leave objects unchecked. It is told, and taken back where that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from webhook.kube.api import JSON_PATCH, ApiError, KubernetesApi
from webhook.ports import READY, Condition
from webhook.registration.drift import Difference, differences, with_exemptions_of
from webhook.registration.live import LiveWebhook
from webhook.registration.manifest import WebhookManifest

log = structlog.get_logger(__name__)

_MANAGER: Final = "userquota-repair"
_MOST_TOLD: Final = 5
# How long a difference has to stand before it is written back. In a rollout the manifests of the new version come while
# replicas of the old one run, which are gone soon after.
STANDS_SECONDS: Final = 20.0

Found = Mapping[str, Mapping[str, LiveWebhook] | None]
"""Our webhooks by name, by the kind of their configuration; None where there is no such configuration."""


class KeptFields:
    """
    Compares what the API server has with *manifests*, and with *repairs* writes back what differs.

    What differs is told at once: *on_change* is called with a line whenever that is something else than before. It is
    written back at the first look after it has stood for 20 seconds. Where API servers call us is left to ``forms``,
    and a webhook that is missing to those who apply the manifests. Belongs to one event loop.
    """

    def __init__(
        self,
        api: KubernetesApi,
        manifests: Sequence[WebhookManifest],
        *,
        repairs: bool,
        on_change: Callable[[str], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._api = api
        self._manifests = manifests
        self._repairs = repairs
        self._on_change = on_change
        self._monotonic = monotonic
        self._told = ""
        self._told_at = 0.0

    def condition(self) -> Condition:
        """Return whether all fields were as in the manifests at the last look; READY before the first."""
        if not self._told:
            return READY
        return Condition(ok=False, reason="registration-drift", message=self._told)

    async def check(self, found: Found) -> bool:
        """
        Tell what differs in *found*; return whether it was tried to write some of it back.

        What cannot be written stays told. It is no error: the webhooks of counted kinds have to be kept all the same.
        """
        changed = [
            (manifest, [each for each in differences(manifest, found[manifest.kind] or {}) if not each.is_missing])
            for manifest in self._manifests
        ]
        self._tell([f"{manifest}, {each}" for manifest, fields in changed for each in fields])
        if not self._repairs or not self._told or self._monotonic() - self._told_at < STANDS_SECONDS:
            return False
        for manifest, fields in changed:
            if steps := _patch(manifest, found[manifest.kind] or {}, fields):
                query = {"fieldManager": _MANAGER}
                body = msgspec.json.encode(steps)
                try:
                    await self._api.patch(manifest.address, body, content_type=JSON_PATCH, query=query)
                    log.info("webhook configuration written back", configuration=str(manifest))
                except ApiError as error:
                    log.warning("webhook configuration not written back", reason=str(error))
        return True

    def _tell(self, lines: Sequence[str]) -> None:
        more = f"; and {len(lines) - _MOST_TOLD} more" if len(lines) > _MOST_TOLD else ""
        listed = "; ".join(lines[:_MOST_TOLD]) + more
        told = f"the webhook configurations are not those of this version: {listed}" if lines else ""
        if told == self._told:
            return
        self._told, self._told_at = told, self._monotonic()
        if told:
            log.warning("webhook configuration differs from the manifests", fields=list(lines))
            self._on_change(told)


def _patch(
    manifest: WebhookManifest, live: Mapping[str, LiveWebhook], changed: Sequence[Difference]
) -> list[dict[str, Any]]:
    """Return the JSON patch that gives each changed webhook the fields of the manifest."""
    wanted = {item["name"]: item for item in manifest.body["webhooks"]}
    places = {name: f"/webhooks/{index}" for index, name in enumerate(live)}
    steps: dict[str, dict[str, Any]] = {}
    for each in changed:
        field = each.field.partition("[")[0]
        if each.is_foreign or field.startswith("clientConfig"):
            continue
        place = places[each.webhook]
        # The order may have changed since it was read: then the API server refuses the patch, and the next look tries.
        steps[place] = {"op": "test", "path": f"{place}/name", "value": each.webhook}
        value = wanted[each.webhook].get(field)
        if field == "namespaceSelector":
            value = with_exemptions_of(value, live[each.webhook].body.get(field))
        path = f"{place}/{field}"
        steps[path] = {"op": "remove", "path": path} if value is None else {"op": "add", "path": path, "value": value}
    return list(steps.values())
