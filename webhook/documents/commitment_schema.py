"""
The part of a policy that says what was promised of a class of nodes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from webhook.documents import json_forms
from webhook.documents.holder_schema import HolderPart
from webhook.documents.mark_schema import Name, Part
from webhook.documents.node_class_schema import NodeAmounts, NodeClassName
from webhook.documents.policy_amounts import CalendarPeriod, Moment, Units
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.policy import Unlimited
from webhook.quota.resources import canonical_name
from webhook.quota.transfer_offer import DIGEST, TransferOffer


def _digest(written: str) -> str:
    if not DIGEST.fullmatch(written):
        raise ValueError("expected the digest of a token: sha256: and 64 digits of 0-9 and a-f")
    return written


def _some(units: int | Unlimited) -> int:
    if isinstance(units, Unlimited) or not units:
        raise ValueError("expected a number of units above 0")
    return units


class OfferPart(Part):
    """An offer to whoever has a token."""

    tokenDigest: Annotated[str, AfterValidator(_digest), json_forms.whole(DIGEST)] = Field(  # noqa: N815
        description="The SHA-256 of the token, as `sha256:` and 64 hexadecimal digits; never the token itself."
    )
    until: Moment | None = Field(
        default=None, description="Until when it may be accepted; until it is withdrawn without it."
    )

    @property
    def offer(self) -> TransferOffer:
        """Return the offer."""
        return TransferOffer(self.tokenDigest, self.until)


class CommitmentPart(HolderPart):
    """What was promised of a class of nodes to one holder, for a time."""

    nodeClass: NodeClassName = Field(description="The class of nodes of which it was promised.")  # noqa: N815
    zone: Name | None = Field(
        default=None,
        description=(
            "The zone. Either all commitments of a class name one, or none does; those written as `superseded` or "
            "`expired` do not count."
        ),
    )
    amounts: NodeAmounts = Field(
        default_factory=dict, min_length=1, description="How much, by resource: what nodes have, as `gpu` or `memory`."
    )
    units: Annotated[Units, AfterValidator(_some)] | None = Field(
        default=None, description="How much, instead of `amounts`: a number of the units of the class."
    )
    state: State = Field(
        default=State.CONFIRMED,
        description=(
            "`confirmed` (default): it is in force between its times. `guaranteed`: it begins later and is set aside "
            "already. `planned`, `pending`: nothing is promised yet. `superseded`, `expired`: no longer."
        ),
    )
    begins: Moment | None = Field(
        default=None, alias="from", description="When it begins, as `2027-01-01T00:00:00Z`; at once without it."
    )
    until: Moment | None = Field(
        default=None, description="When it ends; at that very second it covers nothing any more. Never without it."
    )
    period: CalendarPeriod | None = Field(
        default=None,
        alias="for",
        description="How long it lasts, instead of `until`: years, months, days, hours, as in `1 year, 3 months`.",
    )
    offer: OfferPart | None = Field(
        default=None, description="Its holder offers it to whoever has a token. It goes when the holder changes."
    )

    @model_validator(mode="after")
    def _check(self) -> CommitmentPart:
        if self.period is not None:
            if self.until is not None:
                raise ValueError("until and for both say when it ends: give one of them")
            if self.begins is None:
                raise ValueError("for counts from the beginning: give from as well")
            self.period.after(self.begins)  # raises where no calendar has the end
        if self.begins is not None and self.until is not None and self.until <= self.begins:
            raise ValueError("it ends before it begins: until has to be later than from")
        if self.state is State.GUARANTEED and self.begins is None:
            raise ValueError("what is guaranteed begins later: give from, or write state: confirmed")
        if bool(self.amounts) == (self.units is not None):
            raise ValueError("expected one of amounts, units: how much was promised")
        return self

    @property
    def ends(self) -> datetime | None:
        """Return when it ends, None for never."""
        if self.period is not None and self.begins is not None:
            return self.period.after(self.begins)
        return self.until

    def named(self, name: str, place: str) -> Commitment:
        """
        Return the commitment with this *name*, which is written at *place*: of `units` without amounts, which only the
        policy of all texts knows.
        """
        amounts = {canonical_name(each) or each: amount for each, amount in self.amounts.items()}
        pool = Pool(self.nodeClass, self.zone or "")
        offer = None if self.offer is None else self.offer.offer
        return Commitment(name, self.holder, pool, amounts, self.state, self.begins, self.ends, place, offer)
