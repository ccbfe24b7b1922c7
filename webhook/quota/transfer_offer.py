"""
An offer of a commitment to whoever has its token. Only a digest of the token is kept: who reads the policy cannot
accept by it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime

from webhook.quota.windows import written

DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
"""The form of a digest, as in names of images: no YAML takes it for a number."""


@dataclass(frozen=True, slots=True)
class TransferOffer:
    """The holder has agreed that whoever has the token of `token_digest` gets it, before `until` if there is one."""

    token_digest: str
    until: datetime | None = None

    def __str__(self) -> str:
        return "until it is withdrawn" if self.until is None else f"until {written(self.until)}"

    def is_in_force(self, now: datetime) -> bool:
        """Whether it may be accepted at *now*; at exactly `until` it no longer may."""
        return self.until is None or now < self.until

    def is_of(self, token: str) -> bool:
        """Whether *token* is the one of this offer; it takes the same time whatever is wrong."""
        return hmac.compare_digest(self.token_digest, digest_of(token))


def digest_of(token: str) -> str:
    """Return the digest that is kept of a *token*, of the form `DIGEST`."""
    return f"sha256:{hashlib.sha256(token.encode(errors='surrogatepass')).hexdigest()}"
