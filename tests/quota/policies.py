"""Policies and limits, built with short calls."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from webhook.quota.limits import LimitsInForce, resolve_limits
from webhook.quota.policy import Entry, Group, Hard, Mode, Policy, Unlimited
from webhook.quota.quantity import parse
from webhook.quota.resources import SHORT_NAMES, show
from webhook.quota.subject import Account, Payer

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ALICE = Payer("alice", ("ml", "staff"))
ROBOT = Payer("system:serviceaccount:ci:builder")


def amounts(written: str) -> dict[str, Hard]:
    """Parse a text such as `cpu=4 gpu=unlimited`."""
    pairs = [each.split("=") for each in written.split()]
    return {
        SHORT_NAMES.get(name, name): Unlimited.UNLIMITED if text == "unlimited" else parse(text).nanos
        for name, text in pairs
    }


def entry(
    path: str, hard: str = "", *, pod: str = "", mode: Mode = Mode.ENFORCE, until: datetime | None = None
) -> Entry:
    return Entry(path, f"{path} stands here", amounts(hard), {"perPod": amounts(pod)} if pod else {}, mode, until=until)


def members(name: str, hard: str = "", *, pod: str = "", mode: Mode = Mode.ENFORCE) -> Group:
    return Group(per_member=entry(f"groups.{name}.perMember", hard, pod=pod, mode=mode))


def resolve(policy: Policy, payer: Payer = ALICE, labels: Mapping[str, str] | None = None) -> LimitsInForce:
    return resolve_limits(policy, Account(payer), namespace="red", labels=labels or {}, now=NOW)


def described(in_force: LimitsInForce) -> list[str]:
    """Return a line per limit: subject, resource, amount, and the policy entry that sets it."""
    limits = [
        f"{each.subject}: {each.resource}={show(each.resource, each.hard)} {each.entry}" for each in in_force.sums
    ]
    caps = [f"pod: {each.resource}={show(each.resource, each.hard)} {each.entry}" for each in in_force.caps]
    return limits + caps
