"""
What a reflector tells, and in what order.

Who listens is not known here.
"""

from typing import Protocol, TypeVar

T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """
    What is kept in step. Called from one task and never while it is called; has to be quick.

    A state may be told twice, and states in between may not be told at all. What it raises ends the reflector.
    """

    def started(self) -> None:
        """Hear that a full list begins, perhaps again before the last one was complete: what it showed is void."""

    def seen(self, item: T_contra) -> None:
        """Hear that an object exists in this state: added, modified, or part of the list."""

    def gone(self, item: T_contra) -> None:
        """
        Hear that an object was deleted, or no longer fits the query: its last state, with the version of that change.

        This may come during a list, too.
        """

    def synced(self, resource_version: int) -> None:
        """Hear that the list is complete at that version: what was not ``seen`` since ``started`` is gone."""

    def reached(self, resource_version: int) -> None:
        """Hear that everything up to that version has been told; only after ``synced``, not during a list."""
