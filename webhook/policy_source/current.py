"""
The policy in force. The last good one stays while what is written has mistakes.

How a policy is written and what is wrong with it: see `documents.policy_text`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from webhook.documents.policy_config_map import POLICY_LABEL, Fault
from webhook.documents.policy_text import PolicyReading, PolicyText, read_policy
from webhook.ports import READY, Condition, UnavailableError
from webhook.quota.membership import GroupsByMember
from webhook.quota.policy import Policy

log = structlog.get_logger(__name__)

_MOST_REPORTED = 50
"""Mistakes reported at once. A text of nothing but mistakes has a hundred thousand."""

POLICY_SELECTOR = f"{POLICY_LABEL}=true"
NO_POLICY = f"no policy: make a ConfigMap with the label {POLICY_SELECTOR}, or start with --allow-no-policy"


@dataclass(frozen=True, slots=True)
class PolicyState:
    """
    What is in force, and the mistakes that keep a newer text from it.

    `reading` is what the policy was read as, for the notes on it.
    """

    policy: Policy | None = None
    digest: str = ""
    mistakes: tuple[str, ...] = ()
    reading: PolicyReading | None = None


class CurrentPolicy:
    """Port `PolicySource`: swaps whole policies, never half of one."""

    def __init__(
        self, *, on_change: Callable[[Policy], None], on_mistakes: Callable[[tuple[Fault, ...]], None]
    ) -> None:
        """Call *on_change* with every new policy, *on_mistakes* with what is wrong with texts that are rejected."""
        self._on_change = on_change
        self._on_mistakes = on_mistakes
        self.state = PolicyState()
        self._second_names: Mapping[str, str] = {}
        self._groups: GroupsByMember = {}

    def name_devices(self, second_names: Mapping[str, str]) -> None:
        """Charge devices under their *second_names* as well, in the policy in force and in each that follows."""
        self._second_names = second_names
        if self.state.policy is not None:
            self.state = replace(self.state, policy=self.state.policy.with_second_names(second_names))
            self._on_change(self.current())

    def report_groups(self, groups: GroupsByMember) -> None:
        """
        Take members of *groups* from objects of the cluster, in the policy in force and in each that follows.

        Does not call *on_change*: who reports knows whom that concerns.
        """
        self._groups = groups
        if self.state.policy is not None:
            self.state = replace(self.state, policy=self.state.policy.with_group_objects(groups))

    def current(self) -> Policy:
        """Return the policy in force. Raises: UnavailableError before the first good one."""
        if self.state.policy is None:
            raise UnavailableError("policy", self.condition().message)
        return self.state.policy

    def in_force(self) -> Policy | None:
        """
        Return the policy in force, None if what is written has mistakes and no good one was ever seen.

        Raises: UnavailableError before what is written was read.
        """
        if self.state.policy is None and not self.state.mistakes:
            raise UnavailableError("policy", "the policy is not read yet")
        return self.state.policy

    def made_of(self, texts: Iterable[PolicyText]) -> Policy | None:
        """Return the policy in force if it was made of *texts*, None otherwise."""
        return self.state.policy if self.state.digest == _digest(texts) else None

    def reading_of(self, texts: Iterable[PolicyText]) -> PolicyReading | None:
        """Return what *texts* were read as if they are in force, None otherwise."""
        return self.state.reading if self.state.digest == _digest(texts) else None

    def completed(self, policy: Policy) -> Policy:
        """Return *policy* as it would be in force: with the names of devices, and members, that the cluster sets."""
        return policy.with_second_names(self._second_names).with_group_objects(self._groups)

    def condition(self) -> Condition:
        """Return whether a policy is in force; otherwise what is missing or wrong."""
        if self.state.policy is not None:
            return READY
        why = NO_POLICY
        if self.state.mistakes and self.state.mistakes[0] != NO_POLICY:
            why = f"the policy has mistakes, the first: {self.state.mistakes[0]}"
        return Condition(ok=False, reason="policy", message=why)

    def text_condition(self) -> Condition:
        """Return whether what is written is what is in force; otherwise the first mistake."""
        if not self.state.mistakes:
            return READY
        why = f"the last good policy is in force; the first mistake in what is written: {self.state.mistakes[0]}"
        return Condition(ok=False, reason="policy-invalid", message=why)

    def take(self, texts: Iterable[PolicyText]) -> PolicyReading:
        """Read *texts*, and put them in force if there is no mistake. For start-up: it blocks until all is read."""
        texts = tuple(texts)
        reading = read_policy(texts)
        self.accept(texts, reading)
        return reading

    def accept(self, texts: Sequence[PolicyText], reading: PolicyReading, *, faults: tuple[Fault, ...] = ()) -> bool:
        """
        Put *reading* of *texts* in force; with a mistake, or *faults* of where the texts come from, the last one stays.

        Returns whether it is in force.
        """
        if reading.policy is None or faults:
            found = (Fault(each.source.partition("/")[0], str(each)) for each in reading.mistakes)
            self._reject((*faults, *found))
            return False
        had_mistakes = bool(self.state.mistakes)
        if self._put_in_force(reading.policy, texts, reading, mistakes=()) or had_mistakes:
            log.info("policy in force", digest=self.state.digest[:12], sources=[text.source for text in texts])
        return True

    def restore(self, texts: Sequence[PolicyText], reading: PolicyReading) -> None:
        """Put a copy of the last good policy in force, because what is written has mistakes. They stay reported."""
        if reading.policy is None:
            log.error("the copy of the last good policy cannot be read", mistake=str(reading.mistakes[0]))
            return
        self._put_in_force(reading.policy, texts, reading, mistakes=self.state.mistakes)
        log.warning("a copy of the last good policy is in force", digest=self.state.digest[:12])

    def _put_in_force(
        self, policy: Policy, texts: Sequence[PolicyText], reading: PolicyReading, *, mistakes: tuple[str, ...]
    ) -> bool:
        digest = _digest(texts)
        if digest == self.state.digest:
            self.state = replace(self.state, mistakes=mistakes)
            return False
        policy = self.completed(policy)
        self.state = PolicyState(policy, digest, mistakes, reading)
        for note in reading.notes:
            log.warning("policy note", note=str(note))
        self._on_change(policy)
        return True

    def _reject(self, faults: tuple[Fault, ...]) -> None:
        reported = faults[:_MOST_REPORTED]
        mistakes = tuple(each.message for each in reported)
        if len(faults) > _MOST_REPORTED:
            mistakes = (*mistakes, f"and {len(faults) - _MOST_REPORTED} more mistakes")
        if mistakes == self.state.mistakes:
            return
        self.state = replace(self.state, mistakes=mistakes)
        for mistake in mistakes:
            log.error("policy mistake, the last good policy stays in force", mistake=mistake)
        self._on_mistakes(reported)


def _digest(texts: Iterable[PolicyText]) -> str:
    digest = hashlib.sha256()
    for each in sorted(texts, key=lambda text: text.source):
        digest.update(f"{each.source}\0{each.text}\0".encode())
    return digest.hexdigest()
