"""
Whether edits of the policy are judged at all, for programs that rely on that.

While no replica answers, the API server stores what nobody has judged. What must be refused shows whether it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from webhook.documents.kept_policy import KeptPolicyStore, PolicyRefusedError, StoredPolicy
from webhook.ports import UnavailableError
from webhook.quota.commitments import Commitment, Pool
from webhook.quota.subject import user

_NO_COMMITMENT: Final = Commitment("are-edits-judged", user("nobody"), Pool("none"), {"gpu": 0})
"""Nothing is promised by it, which is a mistake that every judge of edits refuses."""

_NOT_JUDGED: Final = (
    "no replica of userquota judges edits of the policy now, so that it is not known whether nodes have what is "
    "promised: see userquota doctor"
)


async def is_judged(store: KeptPolicyStore, stored: StoredPolicy) -> bool:
    """Return False if others wrote after *stored* was read. Raises: UnavailableError if nobody judges edits."""
    commitments = {**stored.content.commitments, _NO_COMMITMENT.name: _NO_COMMITMENT}
    bad = replace(stored.content, commitments=commitments)
    try:
        if not await store.write(bad, after=stored, annotations={}, dry_run=True):
            return False
    except PolicyRefusedError:
        return True
    raise UnavailableError("policy", _NOT_JUDGED)
