"""
The kinds that `userquota adopt` hands over: those with a row, sessions of the shipped presets, others by their names.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.documents import preset_files
from webhook.documents.shipped_presets import shipped
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import KINDS
from webhook.kube.api import KubernetesApi
from webhook.kube.discovery import UnsuitableKindError, discover
from webhook.ports import WebhookError
from webhook.quota.presets import Preset


class HandoverError(WebhookError):
    """What is named cannot be handed over: it does not exist, or userquota is not asked about it."""


def may_be_kind(word: str) -> bool:
    """Whether people may mean a kind by *word*; whether the API serves one that has no row is not known here."""
    return KINDS.of_name(word) is not None or "." in word or any(_is_called(each, word) for each in _presets())


async def kind_called(api: KubernetesApi, word: str) -> AnyKind:
    """Return the kind that people mean by *word*. Raises: HandoverError, UnavailableError."""
    known = KINDS.of_name(word)
    if known is not None:
        return known
    resources = dict.fromkeys(each.resource for each in _presets() if _is_called(each, word)) or {word.lower(): None}
    served, why = [], ""
    for resource in resources:
        try:
            served.append(await discover(api, resource))
        except UnsuitableKindError as error:
            why = str(error)
    if not served:
        raise HandoverError(f"{', '.join(resources)}: {why}")
    if len(served) > 1:
        raise HandoverError(f"{word} is {' or '.join(each.resource for each in served)}: name it with its group")
    return served[0]


async def session_kinds(api: KubernetesApi) -> tuple[AnyKind, ...]:
    """Return the kinds of sessions of the shipped presets that the API serves. Raises: UnavailableError."""
    served = []
    for resource in dict.fromkeys(each.resource for each in _presets()):
        try:
            served.append(await discover(api, resource))
        except UnsuitableKindError:
            continue
    return tuple(served)


def _presets() -> Iterator[Preset]:
    """Yield the shipped presets of kinds without a row."""
    for name in preset_files.names():
        preset = shipped(name)
        if KINDS.of_resource(preset.resource) is None:
            yield preset


def _is_called(preset: Preset, word: str) -> bool:
    wanted, _, group = word.lower().partition(".")
    plural, _, its_group = preset.resource.partition(".")
    return wanted in (plural, preset.kind.lower()) and group in ("", its_group)
