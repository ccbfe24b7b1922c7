"""
Which changes of commitments are questions, whose answer may be no, and which only tell what has happened.
"""

from __future__ import annotations

from collections.abc import Collection

from webhook.liquid.requests import CommitmentRequest, ResourceChanges
from webhook.quota.commitments import State

_SET_ASIDE = frozenset({State.GUARANTEED, State.CONFIRMED})
_OVER = frozenset({State.EXPIRED, None})
"""What becomes of a commitment that ends by its own date, or is deleted."""


def requires_confirmation(request: CommitmentRequest) -> bool:
    """
    Whether *request* asks for something: only then the answer may be a refusal.

    That is a new end of what is set aside, and each other change of what is confirmed or guaranteed in all, as far as
    it does not come from ends, deletions, or what was guaranteed and begins. Of one project and resource at a time:
    what moves from one project to another is a question.
    """
    return any(_is_question(each) for of_project in request.by_project.values() for each in of_project.values())


def _is_question(changes: ResourceChanges) -> bool:
    if any(each.old_expires_at is not None and each.new_status in _SET_ASIDE for each in changes.commitments):
        return True
    confirmed = (changes.total_confirmed_before, changes.total_confirmed_after)
    guaranteed = (changes.total_guaranteed_before, changes.total_guaranteed_after)
    if confirmed[0] == confirmed[1] and guaranteed[0] == guaranteed[1]:
        return False
    begun = _sum(changes, State.GUARANTEED, {State.CONFIRMED})
    return (
        confirmed[0] + begun != confirmed[1] + _sum(changes, State.CONFIRMED, _OVER)
        or guaranteed[0] != guaranteed[1] + _sum(changes, State.GUARANTEED, _OVER) + begun
    )


def _sum(changes: ResourceChanges, old: State, new: Collection[State | None]) -> int:
    return sum(each.amount for each in changes.commitments if each.old_status is old and each.new_status in new)
