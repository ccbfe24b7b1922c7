"""
The notes on the policy in force, for `/readyz`: what `userquota policy validate` tells, what only a cluster can, and
what ends soon.
"""

from __future__ import annotations

from collections.abc import Callable

from webhook.documents.policy_notes import Facts, ending_soon, policy_notes
from webhook.documents.policy_text import PolicyReading
from webhook.policy_source.current import CurrentPolicy
from webhook.ports import READY, Clock, Condition

_MOST_SHOWN = 20

_FOR = 10.0
"""Seconds for which notes are shown before they are made anew: `/readyz` may be asked often, and policies be long."""


class PolicyRemarks:
    """A condition that names the notes. They are made when it is asked for."""

    def __init__(
        self,
        policy: CurrentPolicy,
        clock: Clock,
        *,
        devices: Callable[[], frozenset[str]],
        exempt: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """
        Note what is odd in *policy*. *devices* are those that objects of the cluster ask for, and *exempt* the
        namespaces that the webhooks leave out.
        """
        self._policy = policy
        self._clock = clock
        self._devices = devices
        self._exempt = exempt
        self._made_of: PolicyReading | None = None
        self._until = 0.0
        self._condition = READY

    def condition(self) -> Condition:
        """Return the notes on the policy in force, READY if there is none."""
        reading, monotonic = self._policy.state.reading, self._clock.monotonic()
        if reading is not self._made_of or monotonic >= self._until:
            self._made_of, self._until = reading, monotonic + _FOR
            self._condition = READY if reading is None else self._noted(reading)
        return self._condition

    def _noted(self, reading: PolicyReading) -> Condition:
        devices = self._devices() if reading.devices else frozenset()
        now = self._clock.now()
        facts = Facts(now, devices, self._exempt())
        notes = [str(each) for each in (*policy_notes(reading, facts), *ending_soon(reading, now))]
        if not notes:
            return READY
        shown = notes[:_MOST_SHOWN]
        if len(notes) > _MOST_SHOWN:
            shown.append(f"and {len(notes) - _MOST_SHOWN} more")
        return Condition(ok=False, reason="policy-notes", message="; ".join(shown))
