"""
The policy in force: from ConfigMaps in our namespace, or from files. The last good one stays while a bad one is there.

How a policy is written and what is wrong with it: see `documents.policy_text`.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from webhook.documents.policy_text import PolicyReading, PolicyText, read_policy
from webhook.ports import READY, Condition, UnavailableError
from webhook.quota.objects import Shape
from webhook.quota.policy import Policy

log = structlog.get_logger(__name__)

_TOLD = 50
"""Mistakes told at once. A text of nothing but mistakes has a hundred thousand; nobody reads the rest."""

POLICY_SELECTOR = "userquota.dev/policy=true"


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What is in force and what is not: for readiness, metrics and `explain`."""

    policy: Policy | None = None
    digest: str = ""
    mistakes: tuple[str, ...] = ()


class CurrentPolicy:
    """Port `PolicySource`: swaps whole policies, never half of one."""

    def __init__(self, *, on_change: Callable[[Policy], None], on_mistakes: Callable[[tuple[str, ...]], None]) -> None:
        """Tell *on_change* of every new policy, *on_mistakes* of every text that cannot be one."""
        self._on_change = on_change
        self._on_mistakes = on_mistakes
        self.state = PolicyState()

    def current(self) -> Policy:
        """Give the policy in force. Raises: UnavailableError before the first good one."""
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

    def take(self, texts: Iterable[PolicyText]) -> PolicyReading:
        """Put what *texts* say in force, if it is without mistakes."""
        texts = tuple(texts)
        reading = read_policy(texts)
        if reading.policy is None:
            self._reject(tuple(str(mistake) for mistake in reading.mistakes))
            return reading
        digest = _digest(texts)
        before, self.state = self.state, PolicyState(reading.policy, digest)
        if digest != before.digest:
            for note in reading.notes:
                log.warning("policy note", note=str(note))
            self._on_change(reading.policy)
        if digest != before.digest or before.mistakes:
            log.info("policy in force", digest=digest[:12], sources=[text.source for text in texts])
        return reading

    def _reject(self, all_mistakes: tuple[str, ...]) -> None:
        mistakes = all_mistakes[:_TOLD]
        if len(all_mistakes) > _TOLD:
            mistakes = (*mistakes, f"and {len(all_mistakes) - _TOLD} more mistakes")
        if mistakes == self.state.mistakes:
            return
        self.state = PolicyState(self.state.policy, self.state.digest, mistakes)
        for mistake in mistakes:
            log.error("policy mistake, the last good policy stays in force", mistake=mistake)
        self._on_mistakes(mistakes)


class PolicyConfigMapMeta(Shape, frozen=True, gc=False):
    """The metadata of a policy's ConfigMap."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""


class PolicyConfigMap(Shape, frozen=True, gc=False):
    """A ConfigMap; each of its keys is one text."""

    metadata: PolicyConfigMapMeta = PolicyConfigMapMeta()
    data: dict[str, str] | None = None


class PolicyConfigMaps:
    """The sink of the watch on policies: gathers the texts and hands them over whenever they change."""

    def __init__(self, current: CurrentPolicy, *, may_be_absent: bool) -> None:
        """Hand texts to *current*; without any ConfigMap nobody is limited if that *may_be_absent*."""
        self._current = current
        self._may_be_absent = may_be_absent
        self._maps: dict[str, PolicyConfigMap] = {}
        self._listed: set[str] | None = None

    def started(self) -> None:
        """Begin a full list."""
        self._listed = set()

    def seen(self, item: PolicyConfigMap) -> None:
        """Take in a ConfigMap as it is now."""
        self._maps[item.metadata.name] = item
        if self._listed is None:
            self._hand_over()
        else:
            self._listed.add(item.metadata.name)

    def gone(self, item: PolicyConfigMap) -> None:
        """Take in that a ConfigMap was deleted."""
        self._maps.pop(item.metadata.name, None)
        if self._listed is None:
            self._hand_over()

    def synced(self, resource_version: int) -> None:  # noqa: ARG002 - the newest state of each is all that counts
        """End a full list."""
        for name in self._maps.keys() - (self._listed or set()):
            del self._maps[name]
        self._listed = None
        self._hand_over()

    def reached(self, resource_version: int) -> None:
        """Nothing depends on how far this watch is."""

    def uid_of(self, name: str) -> str:
        """Give the uid of a ConfigMap, for Events about it."""
        return self._maps[name].metadata.uid if name in self._maps else ""

    def names(self) -> tuple[str, ...]:
        """Give the ConfigMaps that make the policy."""
        return tuple(sorted(self._maps))

    def _hand_over(self) -> None:
        texts = [
            PolicyText(f"{name}/{key}", text)
            for name, each in self._maps.items()
            for key, text in (each.data or {}).items()
        ]
        if not texts and not self._may_be_absent:
            # Deleting or emptying the last policy must not lift every limit: the good one stays, and it is said loudly.
            log.error("no policy ConfigMap is left, or all are empty", selector=POLICY_SELECTOR)
            return
        self._current.take(texts)


def read_files(paths: Iterable[Path]) -> tuple[PolicyText, ...]:
    """
    Read policy files; a folder stands for its `*.yaml`, `*.yml` and `*.json`.

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
