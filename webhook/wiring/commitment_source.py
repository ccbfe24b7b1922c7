"""
Takes commitments over from another system, for `userquota commitments sync`.

All that can be taken over is written in one edit. If that is refused, each entry is tried by itself, so that one that
cannot be kept holds back no other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from webhook.quota.commitment_changes import ByName
from webhook.quota.commitment_sync import Synced, sync
from webhook.quota.commitments import Commitment
from webhook.wiring.commitment_editor import Change, CommitmentEditor, Edited, ElsewhereError, Known, RefusedError


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What an edit has changed, by name what was left out and why, and those that the source does not list any more."""

    edited: Edited
    left_out: Mapping[str, str]
    missing: tuple[str, ...]


async def take_over(
    editor: CommitmentEditor, listed: Mapping[str, Commitment], *, dry_run: bool = False, present: Collection[str] = ()
) -> TakenOver:
    """
    Make the commitments as they are *listed*; only have it judged if *dry_run*. *present* are listed as well, and could
    not be read: they are not missing.

    Raises: as `CommitmentEditor.edit`, but what is refused or stands elsewhere is left out.
    """
    left_out: dict[str, str] = {}
    try:
        found = await _taken_over(editor, listed, left_out, dry_run=dry_run)
    except RefusedError:
        left_out |= await _refused(editor, listed)
        found = await _taken_over(editor, listed, left_out, dry_run=dry_run)
    return replace(found, missing=tuple(name for name in found.missing if name not in present))


async def _taken_over(
    editor: CommitmentEditor, listed: Mapping[str, Commitment], refused: Mapping[str, str], *, dry_run: bool
) -> TakenOver:
    found: list[tuple[Synced, Mapping[str, str]]] = []

    def change(known: Known) -> ByName:
        elsewhere = _elsewhere(known, listed)
        synced = sync(known.commitments, listed, known.now, held_back={*refused, *elsewhere})
        mine = tuple(name for name in synced.missing if name not in known.elsewhere)
        found[:] = [(replace(synced, missing=mine), elsewhere)]
        return {**synced.commitments, **known.elsewhere}

    edited = await editor.edit(change, dry_run=dry_run)
    [(synced, elsewhere)] = found
    return TakenOver(edited, {**synced.left_out, **elsewhere, **refused}, synced.missing)


async def _refused(editor: CommitmentEditor, listed: Mapping[str, Commitment]) -> dict[str, str]:
    """Return which entries are refused beside those before them, and why. Nothing is stored."""
    accepted: dict[str, Commitment] = {}
    refused: dict[str, str] = {}
    for name, each in sorted(listed.items()):
        try:
            await editor.edit(_beside(accepted | {name: each}), dry_run=True)
        except RefusedError as error:
            refused[name] = error.why
        else:
            accepted[name] = each
    return refused


def _beside(listed: Mapping[str, Commitment]) -> Change:
    def change(known: Known) -> ByName:
        synced = sync(known.commitments, listed, known.now, held_back=_elsewhere(known, listed))
        return {**synced.commitments, **known.elsewhere}

    return change


def _elsewhere(known: Known, listed: Mapping[str, Commitment]) -> dict[str, str]:
    """Return which of *listed* stand in a ConfigMap that commands do not write, and where."""
    return {name: str(ElsewhereError(known.elsewhere[name])) for name in listed if name in known.elsewhere}
