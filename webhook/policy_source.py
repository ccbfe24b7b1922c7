"""
The policy in force: from ConfigMaps in our namespace, or from files. The last good one stays while a bad one is there.

How a policy is written and what is wrong with it: see `documents.policy_text`.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import structlog

from webhook.documents.policy_text import PolicyReading, PolicyText, read_in_steps, read_policy
from webhook.ports import READY, Condition, UnavailableError
from webhook.quota.objects import Shape
from webhook.quota.policy import Policy

log = structlog.get_logger(__name__)

_MOST_REPORTED = 50
"""Mistakes reported at once. A text of nothing but mistakes has a hundred thousand."""

POLICY_SELECTOR = "userquota.dev/policy=true"


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What is in force, and the mistakes that keep a newer text from it."""

    policy: Policy | None = None
    digest: str = ""
    mistakes: tuple[str, ...] = ()


class CurrentPolicy:
    """Port `PolicySource`: swaps whole policies, never half of one."""

    def __init__(self, *, on_change: Callable[[Policy], None], on_mistakes: Callable[[tuple[str, ...]], None]) -> None:
        """Call *on_change* with every new policy, *on_mistakes* with the mistakes of every text that is rejected."""
        self._on_change = on_change
        self._on_mistakes = on_mistakes
        self.state = PolicyState()

    def current(self) -> Policy:
        """Return the policy in force. Raises: UnavailableError before the first good one."""
        if self.state.policy is None:
            raise UnavailableError("policy", self.condition().message)
        return self.state.policy

    def condition(self) -> Condition:
        """Return whether a policy is in force; otherwise what is missing or wrong."""
        if self.state.policy is not None:
            return READY
        why = f"no policy: make a ConfigMap with the label {POLICY_SELECTOR}, or start with --allow-no-policy"
        if self.state.mistakes:
            why = f"the policy has mistakes, the first: {self.state.mistakes[0]}"
        return Condition(ok=False, reason="policy", message=why)

    def text_condition(self) -> Condition:
        """Return whether what is written is what is in force; otherwise the first mistake."""
        if not self.state.mistakes:
            return READY
        why = f"the last good policy is in force; the first mistake in what is written: {self.state.mistakes[0]}"
        return Condition(ok=False, reason="policy-invalid", message=why)

    def take(self, texts: Iterable[PolicyText]) -> PolicyReading:
        """Read *texts*, and put them in force if there is no mistake."""
        texts = tuple(texts)
        reading = read_policy(texts)
        self.accept(texts, reading)
        return reading

    def accept(self, texts: Sequence[PolicyText], reading: PolicyReading, *, faults: tuple[str, ...] = ()) -> None:
        """
        Put *reading* of *texts* in force; with a mistake, or *faults* of where the texts come from, the last one stays.
        """
        if reading.policy is None or faults:
            self._reject((*faults, *(str(mistake) for mistake in reading.mistakes)))
            return
        digest = _digest(texts)
        before, self.state = self.state, PolicyState(reading.policy, digest)
        if digest != before.digest:
            for note in reading.notes:
                log.warning("policy note", note=str(note))
            self._on_change(reading.policy)
        if digest != before.digest or before.mistakes:
            log.info("policy in force", digest=digest[:12], sources=[text.source for text in texts])

    def _reject(self, all_mistakes: tuple[str, ...]) -> None:
        mistakes = all_mistakes[:_MOST_REPORTED]
        if len(all_mistakes) > _MOST_REPORTED:
            mistakes = (*mistakes, f"and {len(all_mistakes) - _MOST_REPORTED} more mistakes")
        if mistakes == self.state.mistakes:
            return
        self.state = PolicyState(self.state.policy, self.state.digest, mistakes)
        for mistake in mistakes:
            log.error("policy mistake, the last good policy stays in force", mistake=mistake)
        self._on_mistakes(mistakes)


class Submit(Protocol):
    """Takes over the texts of a policy, to be read at once or later."""

    def __call__(self, texts: Sequence[PolicyText], *, faults: tuple[str, ...]) -> None:
        """Take over *texts*; with *faults* of where they come from they are not put in force."""


class PolicyReader:
    """
    Reads policies in the event loop, a millisecond at a time, so that requests are answered in between.

    Texts that are submitted while others are read are read next; of several that wait, the last ones.
    """

    def __init__(self, current: CurrentPolicy) -> None:
        """Put what is read in force in *current*."""
        self._current = current
        self._waiting: tuple[Sequence[PolicyText], tuple[str, ...]] | None = None
        self._submitted = asyncio.Event()

    def submit(self, texts: Sequence[PolicyText], *, faults: tuple[str, ...]) -> None:
        """Have *texts* read by `run`. See `Submit`."""
        self._waiting = texts, faults
        self._submitted.set()

    async def run(self) -> NoReturn:
        """Read what is submitted until cancelled."""
        while True:
            await self._submitted.wait()
            self._submitted.clear()
            if self._waiting is None:
                continue
            (texts, faults), self._waiting = self._waiting, None
            self._current.accept(texts, await _read_in_steps(texts), faults=faults)


async def _read_in_steps(texts: Sequence[PolicyText]) -> PolicyReading:
    steps = read_in_steps(texts)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            reading: PolicyReading = end.value
            return reading
        await asyncio.sleep(0)


class PolicyConfigMapMeta(Shape, frozen=True, gc=False):
    """The metadata of a policy's ConfigMap."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""


class PolicyConfigMap(Shape, frozen=True, gc=False):
    """A ConfigMap; each of its keys is one text. What is not UTF-8 is in `binary_data`, where no policy is read."""

    metadata: PolicyConfigMapMeta = PolicyConfigMapMeta()
    data: dict[str, str] | None = None
    binary_data: dict[str, str] | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the ConfigMap as a whole cannot be a part of the policy, each with its name in front."""
        name = self.metadata.name
        binary = [
            f"{name}/{key}: it is in binaryData, because it was no UTF-8 text when the ConfigMap was made: "
            "save the file as UTF-8 and make the ConfigMap again"
            for key in sorted(self.binary_data or {})
        ]
        if not binary and not self.data:
            return (f"{name}/data: it has no text: delete the ConfigMap, or put the policy back",)
        return tuple(binary)


class PolicyConfigMaps:
    """The sink of the watch on policies: gathers the texts and submits them whenever they change."""

    def __init__(self, submit: Submit, *, on_removed: Callable[[str, str], None], may_be_absent: bool) -> None:
        """
        Submit texts to *submit*; without any ConfigMap nobody is limited if that *may_be_absent*.

        *on_removed* gets name and uid of each ConfigMap that is no part of the policy any more: it was deleted, or lost
        its label.
        """
        self._submit = submit
        self._on_removed = on_removed
        self._may_be_absent = may_be_absent
        self._maps: dict[str, PolicyConfigMap] = {}
        self._listed: set[str] | None = None

    def started(self) -> None:
        """Begin a full list."""
        self._listed = set()

    def seen(self, item: PolicyConfigMap) -> None:
        """Record a ConfigMap as it is now."""
        self._maps[item.metadata.name] = item
        if self._listed is None:
            self._hand_over()
        else:
            self._listed.add(item.metadata.name)

    def gone(self, item: PolicyConfigMap) -> None:
        """Record that a ConfigMap was deleted, or does not carry the label any more."""
        self._remove(item.metadata.name)
        if self._listed is None:
            self._hand_over()

    def synced(self, resource_version: int) -> None:  # noqa: ARG002 - the newest state of each is all that counts
        """End a full list."""
        for name in self._maps.keys() - (self._listed or set()):
            self._remove(name)
        self._listed = None
        self._hand_over()

    def reached(self, resource_version: int) -> None:
        """Do nothing: nothing depends on how far this watch is."""

    def uid_of(self, name: str) -> str:
        """Return the uid of a ConfigMap, for Events about it; empty if it is unknown."""
        return self._maps[name].metadata.uid if name in self._maps else ""

    def _remove(self, name: str) -> None:
        removed = self._maps.pop(name, None)
        if removed is not None:
            log.warning("a ConfigMap is no part of the policy any more", name=name)
            self._on_removed(name, removed.metadata.uid)

    def _hand_over(self) -> None:
        texts = [
            PolicyText(f"{name}/{key}", text)
            for name, each in self._maps.items()
            for key, text in (each.data or {}).items()
        ]
        faults = tuple(fault for _, each in sorted(self._maps.items()) for fault in each.faults)
        if not self._maps and not self._may_be_absent:
            # Deleting the last policy must not lift every limit: the last good one stays, and an error says so.
            log.error("no policy ConfigMap is left", selector=POLICY_SELECTOR)
            return
        self._submit(texts, faults=faults)


def read_files(paths: Iterable[Path]) -> tuple[PolicyText, ...]:
    """
    Return the texts of policy files; a folder stands for its `*.yaml`, `*.yml` and `*.json`.

    Raises: OSError with the file's name, also for a folder without any and for a file that is not UTF-8.
    """
    texts = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml", ".json"))
        if not inside:
            raise FileNotFoundError(errno.ENOENT, "no .yaml, .yml or .json file in it", str(path))
        texts += [PolicyText(str(each), _text_of(each)) for each in inside]
    return tuple(texts)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, f"not UTF-8 at byte {error.start}", str(path)) from error


def _digest(texts: Iterable[PolicyText]) -> str:
    digest = hashlib.sha256()
    for each in sorted(texts, key=lambda text: text.source):
        digest.update(f"{each.source}\0{each.text}\0".encode())
    return digest.hexdigest()
