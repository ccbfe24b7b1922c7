"""
Takes commitments over from another system, for `userquota commitments sync`.

All that can be taken over is written in one edit. If that is refused, each entry is tried by itself, so that one that
cannot be kept holds back no other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from webhook.documents.commitment_text import MOST_GENERATION, ListedCommitments
from webhook.quota.commitment_changes import ByName, ChangeError
from webhook.quota.commitment_sync import Synced, sync
from webhook.quota.commitments import Commitment
from webhook.wiring.commitment_editor import Change, CommitmentEditor, Edited, ElsewhereError, Known, RefusedError

GENERATION: Final = "userquota.dev/source-generation"
"""The annotation with the highest generation of a list that was taken over."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What an edit has changed, by name what was left out and why, and those that the source does not list any more."""

    edited: Edited
    left_out: Mapping[str, str]
    missing: tuple[str, ...]


async def take_over(editor: CommitmentEditor, listed: ListedCommitments, *, dry_run: bool = False) -> TakenOver:
    """
    Make the commitments as they are *listed*; only have it judged if *dry_run*. What could not be read is left out, and
    is not missing. A list that is older than one that was taken over changes nothing.

    Raises: as `CommitmentEditor.edit`, but what is refused or stands elsewhere is left out.
    """
    wanted = _Wanted(listed)
    try:
        edited = await _edited(editor, wanted, dry_run=dry_run)
    except RefusedError:
        # What is as it is listed already needs no room: a list of which something is refused each time costs no more.
        refused = await _refused(editor, listed, (*wanted.synced.created, *wanted.synced.changed))
        wanted = _Wanted(listed, refused)
        edited = await _edited(editor, wanted, dry_run=dry_run)
    missing = tuple(name for name in wanted.synced.missing if name not in listed.mistakes)
    left_out = {**wanted.synced.left_out, **wanted.elsewhere, **wanted.refused, **listed.mistakes}
    return TakenOver(edited, left_out, missing)


@dataclass(slots=True)
class _Wanted:
    """The change that makes commitments as they are listed, but for those that are refused, and what it did last."""

    listed: ListedCommitments
    refused: Mapping[str, str] = field(default_factory=dict)
    synced: Synced = field(default_factory=lambda: Synced({}))
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, known: Known) -> ByName:
        """Return the commitments afterwards. Raises: ChangeError for a list that is older than another one."""
        _check_age(self.listed, known)
        after, self.synced, self.elsewhere = _synced(known, self.listed.commitments, self.refused)
        return after


async def _edited(editor: CommitmentEditor, wanted: _Wanted, *, dry_run: bool) -> Edited:
    generation = wanted.listed.generation
    return await editor.edit(wanted, annotations={GENERATION: str(generation)} if generation else {}, dry_run=dry_run)


async def _refused(editor: CommitmentEditor, listed: ListedCommitments, names: Collection[str]) -> dict[str, str]:
    """Return which of *names* are refused beside those before them, and why. Nothing is stored."""
    accepted: dict[str, Commitment] = {}
    refused: dict[str, str] = {}
    for name in sorted(names):
        trial = accepted | {name: listed.commitments[name]}
        try:
            await editor.edit(_beside(trial), dry_run=True)
        except RefusedError as error:
            refused[name] = error.why
        else:
            accepted = trial
    return refused


def _beside(trial: Mapping[str, Commitment]) -> Change:
    return lambda known: _synced(known, trial, ())[0]


def _synced(
    known: Known, listed: Mapping[str, Commitment], held_back: Collection[str]
) -> tuple[ByName, Synced, Mapping[str, str]]:
    """Return the commitments as *listed*, what became of them, and which stand where commands do not write."""
    elsewhere = {name: str(ElsewhereError(known.elsewhere[name])) for name in listed if name in known.elsewhere}
    mine = {name: each for name, each in known.commitments.items() if name not in known.elsewhere}
    found = sync(mine, listed, known.now, held_back={*held_back, *elsewhere})
    return {**found.commitments, **known.elsewhere}, found, elsewhere


def _check_age(listed: ListedCommitments, known: Known) -> None:
    """Check that no later list was taken over. Raises: ChangeError."""
    written = known.annotations.get(GENERATION, "0")
    if not (written.isascii() and written.isdecimal() and len(written) <= len(str(MOST_GENERATION))):
        raise ChangeError(f"the annotation {GENERATION} is no number: take it away, and what is listed next counts")
    if listed.generation < int(written):
        said = f"generation {listed.generation}" if listed.generation else "no generation"
        raise ChangeError(
            f"the list says {said}, and generation {written} was taken over before: nothing is changed by an older list"
        )
