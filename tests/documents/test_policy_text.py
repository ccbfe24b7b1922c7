"""Policies as people write them: every slip at its line and column, in words that say what to write instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.documents.policy_schema import PoolPart
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota import quantity
from webhook.quota.delegation import Decoding, Delegate, Mark, Place
from webhook.quota.devices import SHIPPED, Weight
from webhook.quota.exemption import ExemptBy, Exemption, Exemptions
from webhook.quota.missing import Missing
from webhook.quota.policy import (
    AccountLimits,
    Combine,
    Entry,
    Hard,
    Mode,
    Policy,
    Reserve,
    Terminating,
    Unlimited,
    WarnAt,
)
from webhook.quota.quantity import NANOS
from webhook.quota.resources import show
from webhook.quota.transfer_offer import TransferOffer, digest_of

CORE = 10**9
EXAMPLE = """\
# Comments are welcome.
version: 1
defaults:
  user:
    hard: {sessions: 5, cpu: 4, memory: 8Gi, gpu: 0}
    perPod: {cpu: 2, memory: 4Gi}
  serviceAccount: {hard: {pods: 20}}
  unattributed: {hard: {cpu: 500m}, mode: audit}
users:
  alice: {hard: {gpu: 2, cpu: unlimited}, until: 2027-01-31T00:00:00Z}
  "no": {mode: warn}
serviceAccounts:
  ci/runner: {hard: {nvidia.com/gpu: 1}}
groups:
  ml:
    perMember: {hard: {gpu: 2}}
    pool: {hard: {gpu: 16}}
    members: [alice, bob]
tenants:
  research: {namespaces: {matchLabels: {team: research}}, hard: {cpu: 200}, perNamespace: {hard: {cpu: 100}}}
namespaces:
  red: {hard: {limits.memory: 1.5e3}}
cluster: {hard: {requests.example.com/fpga: "1e1"}}
combine: max
attribution: {trustedControllers: [hub/operator]}
"""


def read(text: str) -> Policy:
    found = read_policy([PolicyText("policy.yaml", text)])
    assert found.policy is not None, found.mistakes
    return found.policy


def mistakes(text: str) -> list[str]:
    found = read_policy([PolicyText("policy.yaml", text)])
    assert (found.policy is None) is bool(found.mistakes)
    return [str(each) for each in found.mistakes]


def test_a_policy_is_read_with_the_place_of_every_entry() -> None:
    policy = read(EXAMPLE)

    assert policy.defaults.user == Entry(
        "defaults.user",
        "policy.yaml:5",
        hard={"sessions": 5 * CORE, "requests.cpu": 4 * CORE, "requests.memory": 2**33 * CORE, "gpu": 0},
        caps={"perPod": {"requests.cpu": 2 * CORE, "requests.memory": 2**32 * CORE}},
    )
    assert policy.defaults.service_account == Entry(
        "defaults.serviceAccount", "policy.yaml:7", hard={"pods": 20 * CORE}
    )
    assert policy.defaults.unattributed == Entry(
        "defaults.unattributed", "policy.yaml:8", hard={"requests.cpu": CORE // 2}, mode=Mode.AUDIT
    )
    assert policy.users == {
        "alice": Entry(
            "users.alice",
            "policy.yaml:10",
            hard={"gpu": 2 * CORE, "requests.cpu": Unlimited.UNLIMITED},
            until=datetime(2027, 1, 31, tzinfo=UTC),
        ),
        "no": Entry("users.no", "policy.yaml:11", mode=Mode.WARN),
    }
    assert policy.service_accounts == {
        "system:serviceaccount:ci:runner": Entry(
            "serviceAccounts[ci/runner]", "policy.yaml:13", hard={"requests.nvidia.com/gpu": CORE}
        )
    }
    assert policy.groups["ml"].per_member == Entry("groups.ml.perMember", "policy.yaml:16", hard={"gpu": 2 * CORE})
    assert policy.groups["ml"].pool == Entry("groups.ml.pool", "policy.yaml:17", hard={"gpu": 16 * CORE})
    assert policy.groups["ml"].members == {"alice", "bob"}
    research = policy.tenants["research"]
    assert research.match_labels == (("team", "research"),)
    assert research.entry == Entry("tenants.research", "policy.yaml:20", hard={"requests.cpu": 200 * CORE})
    assert research.per_namespace == Entry(
        "tenants.research.perNamespace", "policy.yaml:20", hard={"requests.cpu": 100 * CORE}
    )
    assert policy.namespaces == {"red": Entry("namespaces.red", "policy.yaml:22", hard={"limits.memory": 1500 * CORE})}
    assert policy.cluster == Entry("cluster", "policy.yaml:23", hard={"requests.example.com/fpga": 10 * CORE})
    assert policy.combine is Combine.MAX
    assert policy.trusted_controllers == {"system:serviceaccount:hub:operator"}


def test_a_policy_in_json_is_the_same_policy() -> None:
    text = '{"version": 1,\n"users": {"alice": {"hard": {"cpu": 0.1}}},\n"combine": "sum"}'

    assert read(text) == read("version: 1\nusers: {alice: {hard: {cpu: 0.1}}}\ncombine: sum\n")


def test_no_text_limits_nobody() -> None:
    assert read_policy([]).policy == Policy()


def test_a_policy_that_says_no_more_than_its_version_limits_nobody() -> None:
    assert read("version: 1") == Policy()


NOTHING = "policy.yaml:1:1: no policy in it; one that limits nobody says version: 1"


@pytest.mark.parametrize(
    "text",
    ["", " \n", "# version: 1\n", "---\n...\n---\n", "null", "~"],
    ids=["empty", "spaces", "a comment", "empty documents", "null", "a tilde"],
)
def test_a_policy_that_was_emptied_is_a_mistake_and_lifts_no_limit(text: str) -> None:
    assert mistakes(text) == [NOTHING]


def test_beside_a_policy_an_empty_text_is_a_mistake_too() -> None:
    """One of several texts that was emptied by accident must not lift its limits."""
    found = read_policy([PolicyText("a", "# nothing yet\n"), PolicyText("b", "version: 1\ncombine: sum\n")])

    assert list(map(str, found.mistakes)) == ["a:1:1: no policy in it; one that limits nobody says version: 1"]


@pytest.mark.parametrize(
    ("first", "second", "is_leftover"),
    [
        ("gen-6m65h7f22k/g.yaml", "gen-9h8tb2c4d5/g.yaml", True),
        ("gen-6m65h7f22k/g.yaml", "gen-6m65h7f22k/h.yaml", False),
        ("gen-6m65h7f22k/g.yaml", "other-9h8tb2c4d5/g.yaml", False),
        ("policy/a.yaml", "groups/a.yaml", False),
    ],
)
def test_a_generated_config_map_that_is_left_over_is_recognised(first: str, second: str, is_leftover: bool) -> None:
    """Confirmed defect W18: "already defined" did not say that the other is the generation before."""
    found = read_policy(
        PolicyText(source, "version: 1\nusers: {u23: {hard: {cpu: 1}}}\n") for source in (first, second)
    )

    assert ["disableNameSuffixHash" in str(mistake) for mistake in found.mistakes] == [is_leftover]


@pytest.mark.parametrize(
    ("text", "reserve"),
    [
        ("version: 1", frozenset()),
        ("version: 1\nreserve: []", frozenset()),
        ("version: 1\nreserve: [autoscalers]", {Reserve.AUTOSCALERS}),
        ("version: 1\nreserve: [sessions, autoscalers, sessions]", {Reserve.AUTOSCALERS, Reserve.SESSIONS}),
    ],
)
def test_for_what_room_is_set_aside(text: str, reserve: frozenset[Reserve]) -> None:
    assert read(text).reserve == reserve


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("version: 1", ()),
        ("version: 1\ntags: []", ()),
        ("version: 1\ntags: [example.com/team, cost-center]", ("example.com/team", "cost-center")),
        ("version: 1\ntags: [Z_9.a]", ("Z_9.a",)),
        (f"version: 1\ntags: [{'a' * 253}/{'b' * 63}]", (f"{'a' * 253}/{'b' * 63}",)),
    ],
)
def test_the_labels_that_allocations_show(text: str, tags: tuple[str, ...]) -> None:
    assert read(text).tags == tags


def test_two_documents_cannot_name_the_tags() -> None:
    texts = [PolicyText("a.yaml", "version: 1\ntags: [team]"), PolicyText("b.yaml", "version: 1\ntags: [app]")]

    assert [str(each) for each in read_policy(texts).mistakes] == ["b.yaml:2:7: tags: already defined at a.yaml:2"]


@pytest.mark.parametrize(
    ("text", "terminating"),
    [("version: 1", Terminating.RELEASE), ("version: 1\nterminating: hold", Terminating.HOLD)],
)
def test_pods_past_their_grace_period_are_released_unless_a_policy_holds_them(
    text: str, terminating: Terminating
) -> None:
    assert read(text).terminating is terminating


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("version: 1", AccountLimits.PER_NAMESPACE),
        ("version: 1\nserviceAccountLimits: perNamespace", AccountLimits.PER_NAMESPACE),
        ("version: 1\nserviceAccountLimits: perAccount", AccountLimits.PER_ACCOUNT),
    ],
)
def test_the_service_accounts_of_a_namespace_share_an_allowance_unless_a_policy_gives_each_its_own(
    text: str, limits: AccountLimits
) -> None:
    assert read(text).account_limits is limits


# Amounts.

AMOUNTS: dict[str, Hard] = {
    "4": 4 * CORE,
    "0": 0,
    "500m": CORE // 2,
    "0.1": CORE // 10,
    '"0.1"': CORE // 10,
    "1e3": 1000 * CORE,
    "8Gi": 2**33 * CORE,
    "0.5n": 1,
    "12345678901234567890123": 12345678901234567890123 * CORE,
    "unlimited": Unlimited.UNLIMITED,
    '"unlimited"': Unlimited.UNLIMITED,
}


@pytest.mark.parametrize(("written", "amount"), AMOUNTS.items(), ids=AMOUNTS.keys())
def test_an_amount_is_exact_however_it_is_written(written: str, amount: Hard) -> None:
    policy = read(f"version: 1\ncluster: {{hard: {{cpu: {written}}}}}")

    assert policy.cluster is not None
    assert policy.cluster.hard == {"requests.cpu": amount}


NO_AMOUNT = 'expected an amount such as 4, 500m or 8Gi, or the word "unlimited"'
ODD_AMOUNTS = {
    "1K": "invalid quantity '1K': unknown suffix 'K', did you mean k or Ki?",
    "1gi": "invalid quantity '1gi': unknown suffix 'gi', did you mean Gi?",
    "1GB": "invalid quantity '1GB': unknown suffix 'GB', did you mean G?",
    "1_000": "YAML reads 1_000 as 1000 here: write 1000",
    "012": "YAML reads 012 as 10 here: write 10",
    "0x10": "YAML reads 0x10 as 16 here: write 16",
    "0o7": "YAML reads 0o7 as 7 here: write 7",
    "+5": "YAML reads +5 as 5 here: write 5",
    "1_0.5": "invalid quantity '1_0.5': expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3",
    '" 1"': "invalid quantity ' 1': it has spaces around it",
    '"1 "': "invalid quantity '1 ': it has spaces around it",
    '"1 Gi"': "invalid quantity '1 Gi': expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3",
    "\uff11": "invalid quantity '\uff11': it has no digits",
    "\u0663": "invalid quantity '\u0663': it has no digits",
    "1\uff11": "invalid quantity '1\uff11': only ASCII digits and suffixes are allowed",
    "NaN": "invalid quantity 'NaN': it has no digits",
    ".nan": ".nan is no number that JSON knows",
    ".inf": ".inf is no number that JSON knows",
    "k": "invalid quantity 'k': it has no digits",
    "Unlimited": "invalid quantity 'Unlimited': it has no digits",
    '""': "invalid quantity '': it has no digits",
    "1e1000000000": "invalid quantity '1e1000000000': its exponent is above 400",
    '"1e401"': "invalid quantity '1e401': its exponent is above 400",
    "9" * 600: "invalid quantity '9999999999999999999999999999999999999...': it is longer than 512 characters",
    "-1": '-1 is negative; 0 forbids, "unlimited" lifts a limit',
    "-1m": '-1m is negative; 0 forbids, "unlimited" lifts a limit',
    "1:30": "invalid quantity '1:30': expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3",
    "true": NO_AMOUNT,
    "yes": NO_AMOUNT,
    "null": NO_AMOUNT,
    "~": NO_AMOUNT,
    "[1]": NO_AMOUNT,
    "{a: b}": NO_AMOUNT,
}


@pytest.mark.parametrize(("written", "message"), ODD_AMOUNTS.items(), ids=lambda text: text[:20])
@pytest.mark.parametrize(
    ("entry", "column", "path"),
    [
        ("defaults: {user: {hard: {memory: %s}}}", 34, "defaults.user.hard.memory"),
        ("users: {alice: {perPod: {cpu: %s}}}", 31, "users.alice.perPod.cpu"),
        ("groups: {ml: {pool: {hard: {nvidia.com/gpu: %s}}}}", 45, "groups.ml.pool.hard[nvidia.com/gpu]"),
    ],
    ids=["a default", "a cap for one pod", "a pool"],
)
def test_an_odd_amount_is_a_mistake_at_its_place(
    written: str, message: str, entry: str, column: int, path: str
) -> None:
    assert mistakes(f"version: 1\n{entry % written}\n") == [f"policy.yaml:2:{column}: {path}: {message}"]


SHARES: dict[str, Hard] = {
    "1/7": Fraction(CORE, 7),
    '"1/7"': Fraction(CORE, 7),
    "2+3/7": Fraction(17 * CORE, 7),
    "4/2": 2 * CORE,
    "0/7": 0,
    "500m": CORE // 2,
    "0.25": CORE // 4,
    "3": 3 * CORE,
    "unlimited": Unlimited.UNLIMITED,
}


@pytest.mark.parametrize(("written", "amount"), SHARES.items(), ids=SHARES.keys())
@pytest.mark.parametrize("resource", ["gpu", "accelerator"])
def test_a_limit_on_a_logical_resource_may_be_a_fraction(resource: str, written: str, amount: Hard) -> None:
    policy = read(f"version: 1\ncluster: {{hard: {{{resource}: {written}}}, perPod: {{{resource}: {written}}}}}")

    assert policy.cluster is not None
    assert policy.cluster.hard == {resource: amount}
    assert policy.cluster.caps == {"perPod": {resource: amount}}
    assert type(policy.cluster.hard[resource]) is type(amount)


@given(st.fractions(min_value=0, max_value=10**6, max_denominator=5040), st.sampled_from(["gpu", "accelerator"]))
def test_a_limit_that_is_shown_is_read_again(number: Fraction, resource: str) -> None:
    shown = show(resource, number * CORE)
    policy = read(f"version: 1\ncluster: {{hard: {{{resource}: {shown}}}}}")

    assert policy.cluster is not None
    assert policy.cluster.hard == {resource: number * CORE}


ODD_SHARES = {
    "gpu: 1/0": "gpu: 1/0 divides by zero",
    "gpu: 1/3/4": "gpu: 1/3/4 is no exact number such as 1, 1/4 or 0.25",
    "gpu: -1/7": "gpu: -1/7 is no exact number such as 1, 1/4 or 0.25",
    "accelerator: 1/2k": "accelerator: 1/2k is no exact number such as 1, 1/4 or 0.25",
    "gpu: -1": 'gpu: -1 is negative; 0 forbids, "unlimited" lifts a limit',
    "cpu: 1/7": ("cpu: invalid quantity '1/7': expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3"),
    "nvidia.com/gpu: 1/7": (
        "[nvidia.com/gpu]: invalid quantity '1/7': expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3"
    ),
}


@pytest.mark.parametrize(("written", "message"), ODD_SHARES.items(), ids=ODD_SHARES.keys())
def test_an_odd_fraction_and_one_of_another_resource_is_a_mistake(written: str, message: str) -> None:
    column = 18 + written.index(":") + 2
    dot = "" if message.startswith("[") else "."

    assert mistakes(f"version: 1\ncluster: {{hard: {{{written}}}}}\n") == [
        f"policy.yaml:2:{column}: cluster.hard{dot}{message}"
    ]


# What the admins say.


def test_an_entry_says_whom_to_ask_and_what_is_inside_it_says_the_same() -> None:
    scoped = "scoped: [{scopes: [BestEffort], hard: {pods: 1}}, {scopes: [Terminating], link: 'https://b.test'}]"
    policy = read(
        "version: 1\n"
        "defaults:\n"
        f"  user: {{hard: {{cpu: 1}}, message: 'ask in #gpu: daily', link: 'https://wiki.test/q?a=1#top', {scoped}}}\n"
        "cluster: {hard: {cpu: 9}, message: ask me}\n"
    )

    entry = policy.defaults.user
    assert entry is not None
    assert policy.cluster is not None
    assert entry.hint == "ask in #gpu: daily, see https://wiki.test/q?a=1#top"
    assert [each.hint for each in entry.scoped] == [entry.hint, "see https://b.test"]
    assert policy.cluster.hint == "ask me"


ODD_HINTS = {
    "message: ''": "message: it says nothing",
    "message: ' '": "message: it says nothing",
    f"message: {'x' * 201}": "message: it has 201 characters, at most 200 are told",
    'message: "two\\nlines"': "message: expected one line without control characters",
    'message: "\\e[31mred"': "message: expected one line without control characters",
    'message: "turned\\u202eround"': "message: expected one line without control characters",
    "message: you have Exceeded Quota": (
        "message: programs take the words exceeded quota as a reason to wait and ask again: use others"
    ),
    "message: 7": "message: expected text: write it in quotes",
    "link: wiki.test/quota": "link: expected a link that begins with https:// or http://",
    "link: 'ftp://wiki.test/quota'": "link: expected a link that begins with https:// or http://",
    "link: 'javascript:alert(1)'": "link: expected a link that begins with https:// or http://",
    "link: 'https://'": "link: expected a link that begins with https:// or http://",
    "link: 'https://[wiki'": "link: expected a link that begins with https:// or http://",
    "link: 'https://wiki.test/a b'": "link: expected a link that begins with https:// or http://",
    f"link: 'https://wiki.test/{'x' * 200}'": "link: it has 218 characters, at most 200 are told",
}


@pytest.mark.parametrize(("written", "message"), ODD_HINTS.items(), ids=ODD_HINTS.keys())
def test_an_odd_hint_is_a_mistake(written: str, message: str) -> None:
    column = 11 + written.index(":") + 2

    assert mistakes(f"version: 1\ncluster: {{{written}}}\n") == [f"policy.yaml:2:{column}: cluster.{message}"]


@pytest.mark.parametrize(
    ("written", "percent"), [("80%", 80), ("1%", 1), ("100%", 100), ("off", None), ("'off'", None), ("no", None)]
)
def test_people_are_warned_from_a_share_of_a_limit_on(written: str, percent: int | None) -> None:
    assert read(f"version: 1\nwarnAt: {written}\n").warn_at == WarnAt(percent)


def test_nobody_is_warned_before_the_policy_says_so() -> None:
    assert read("version: 1\n").warn_at == WarnAt(None)


@pytest.mark.parametrize("written", ["80", "0%", "101%", "080%", "0.8", "80 %", "-80%", "on", "[80%]", "\u0668%"])
def test_anything_else_is_no_share_of_a_limit(written: str) -> None:
    told = "expected a share of a limit from 1% to 100%, as in 80%, or off"
    assert mistakes(f"version: 1\nwarnAt: {written}\n") == [f"policy.yaml:2:9: warnAt: {told}"]


# Weights of devices.

WEIGHTS = """\
version: 1
resources:
  gpu:
    nvidia.com/gpu.shared: 1/4
    nvidia.com/mig-*.shared: 1/28
    deviceclass/gpu.example.com: 1
    example.com/eighth: 0.125
    example.com/rack: "72"
    amd.com/gpu: 0
  accelerator:
    example.com/npu: 1
"""


def test_weights_are_read_exactly_and_lie_over_the_shipped_ones() -> None:
    weights = read(WEIGHTS).devices

    assert {
        name: weights.weight_of(name)
        for name in (
            *("nvidia.com/gpu.shared", "nvidia.com/mig-1g.5gb.shared", "deviceclass/gpu.example.com", "amd.com/gpu"),
            *("example.com/eighth", "example.com/rack", "example.com/npu", "nvidia.com/gpu", "example.com/other"),
        )
    } == {
        "nvidia.com/gpu.shared": Weight("gpu", Fraction(1, 4)),
        "nvidia.com/mig-1g.5gb.shared": Weight("gpu", Fraction(1, 28)),
        "deviceclass/gpu.example.com": Weight("gpu", 1),
        "amd.com/gpu": Weight("gpu", 0),
        "example.com/eighth": Weight("gpu", Fraction(1, 8)),
        "example.com/rack": Weight("gpu", 72),
        "example.com/npu": Weight("accelerator", 1),
        "nvidia.com/gpu": Weight("gpu", 1),
        "example.com/other": None,
    }


@pytest.mark.parametrize("text", ["version: 1", "version: 1\nresources: {}", "version: 1\nresources: {gpu: {}}"])
def test_without_weights_the_shipped_ones_are_in_force(text: str) -> None:
    assert read(text).devices is SHIPPED


def test_what_annotations_ask_for_can_be_weighed_and_not_limited() -> None:
    weights = read(
        "version: 1\nresources:\n  gpu: {annotation/gpu-fraction: 0}\n  accelerator: {annotation/gpu-memory: 1/2}\n"
    ).devices

    assert weights.weight_of("annotation/gpu-fraction") == Weight("gpu", 0)
    assert weights.weight_of("annotation/gpu-memory") == Weight("accelerator", Fraction(1, 2))
    [told] = mistakes("version: 1\ncluster: {hard: {annotation/gpu-fraction: 1}}\n")
    assert told.startswith("policy.yaml:2:18: cluster.hard[annotation/gpu-fraction]: unknown resource; known are ")


ODD_WEIGHTS = {
    "1/0": "1/0 divides by zero",
    "1/3/4": "1/3/4 is no exact number such as 1, 1/4 or 0.25",
    "-1": "-1 is negative; 0 says that it is no device",
    "-1/4": "-1/4 is negative; 0 says that it is no device",
    "-0.5": "-0.5 is negative; 0 says that it is no device",
    "1001": "1001 is more than 1000, the largest weight",
    "1000.5": "1000.5 is more than 1000, the largest weight",
    "2001/2": "2001/2 is more than 1000, the largest weight",
    "1/1000001": "1/1000001 is finer than a millionth",
    "1e-3": "1e-3 is no exact number such as 1, 1/4 or 0.25",
    "1.0e+0": "1.0e+0 is no exact number such as 1, 1/4 or 0.25",
    ".5": ".5 is no exact number such as 1, 1/4 or 0.25",
    "500m": "500m is no exact number such as 1, 1/4 or 0.25",
    "a quarter": "a quarter is no exact number such as 1, 1/4 or 0.25",
    "012": "YAML reads 012 as 10 here: write 10",
    "true": "expected a weight such as 1, 1/4 or 0.25",
    "null": "expected a weight such as 1, 1/4 or 0.25",
    "[1]": "expected a weight such as 1, 1/4 or 0.25",
}


@pytest.mark.parametrize(("written", "message"), ODD_WEIGHTS.items(), ids=ODD_WEIGHTS.keys())
def test_an_odd_weight_is_a_mistake_at_its_place(written: str, message: str) -> None:
    assert mistakes(f"version: 1\nresources:\n  gpu:\n    nvidia.com/gpu: {written}\n") == [
        f"policy.yaml:4:21: resources.gpu[nvidia.com/gpu]: {message}"
    ]


NO_DEVICE = "expected an extended resource such as example.com/gpu, or a device class as deviceclass/gpu.example.com"
IN_ONE = "a device counts in one of the two"
ODD_DEVICES = {
    "a plain name": ("gpu: {gpu: 1}", f"2:19: resources.gpu.gpu: {NO_DEVICE}"),
    "a name of Kubernetes": ("gpu: {kubernetes.io/x: 1}", f"2:19: resources.gpu[kubernetes.io/x]: {NO_DEVICE}"),
    "no name of a class": ("gpu: {deviceclass/A: 1}", f"2:19: resources.gpu[deviceclass/A]: {NO_DEVICE}"),
    "two stars": ("gpu: {nvidia.com/**: 1}", "2:19: resources.gpu[nvidia.com/**]: only one * may stand in a name"),
    "a star alone": (
        'gpu: {"*": 1}',
        "2:19: resources.gpu[*]: this would be every device there is; write a domain, as in example.com/*",
    ),
    "a request": (
        "gpu: {requests.nvidia.com/gpu: 1}",
        "2:19: resources.gpu[requests.nvidia.com/gpu]: write nvidia.com/gpu",
    ),
    "in both": (
        "gpu: {a.b/c: 1}, accelerator: {a.b/c: 1}",
        f"2:51: resources.accelerator[a.b/c]: already counts in gpu, by policy.yaml:2: {IN_ONE}",
    ),
    "in both, the other way round": (
        "accelerator: {a.b/c: 1}, gpu: {a.b/c: 1}",
        f"2:51: resources.gpu[a.b/c]: already counts in accelerator, by policy.yaml:2: {IN_ONE}",
    ),
    "twice": (
        "gpu: {a.b/c: 1, a.b/c: 2}",
        '2:29: resources.gpu[a.b/c]: the key "a.b/c" is given twice, first at line 2, column 19',
    ),
    "a misspelt resource": ("gpus: {a.b/c: 1}", "2:13: resources.gpus: unknown resource, did you mean gpu?"),
    "another resource": (
        "cpu: {a.b/c: 1}",
        "2:19: resources.cpu[a.b/c]: unknown field; what a device counts belongs under gpu or accelerator",
    ),
    "an annotation that nothing counts": (
        "gpu: {annotation/x: 1}",
        (
            "2:19: resources.gpu[annotation/x]: of annotations only these are counted: "
            "annotation/gpu-fraction, annotation/gpu-memory"
        ),
    ),
    "a list": ("gpu: [a.b/c]", "2:18: resources.gpu: expected fields, each with a value"),
}


@pytest.mark.parametrize(("text", "told"), ODD_DEVICES.values(), ids=ODD_DEVICES.keys())
def test_an_odd_name_of_devices_is_a_mistake_at_its_place(text: str, told: str) -> None:
    assert mistakes(f"version: 1\nresources: {{{text}}}\n") == [f"policy.yaml:{told}"]


def test_a_pattern_that_leaves_shipped_weights_in_force_is_noted() -> None:
    found = read_policy([PolicyText("p", "version: 1\nresources: {gpu: {volcano.sh/*: 1/2, example.com/*: 1}}\n")])

    assert found.policy is not None
    assert [str(note) for note in found.notes] == [
        (
            "p:2:33: resources.gpu[volcano.sh/*]: the shipped weights of volcano.sh/vgpu-cores, "
            "volcano.sh/vgpu-memory, volcano.sh/vgpu-memory-percentage and 1 more are more exact and stay; "
            "weigh those to change them"
        )
    ]


# What is missing.

WORDS = "expected require, ignore, or a default as in {default: 256Mi}"


def test_what_happens_with_a_pod_that_does_not_declare_a_resource() -> None:
    policy = read(
        "version: 1\n"
        "missing: {cpu: require, memory: {default: 256Mi}, ephemeral-storage: ignore, limits.cpu: {default: 1.5}}\n"
        '---\nversion: 1\nmissing: {limits.memory: require, limits.ephemeral-storage: {default: "1e9"}}\n',
    )

    assert policy.missing == {
        "requests.cpu": Missing.REQUIRE,
        "requests.memory": quantity.parse("256Mi"),
        "requests.ephemeral-storage": Missing.IGNORE,
        "limits.cpu": quantity.parse("1500m"),
        "limits.memory": Missing.REQUIRE,
        "limits.ephemeral-storage": quantity.parse("1e9"),
    }


def test_a_default_is_rounded_up_as_the_api_server_does() -> None:
    assert read("version: 1\nmissing: {cpu: {default: 1n}}\n").missing == {"requests.cpu": quantity.parse("1m")}


ODD_MISSING = {
    "a default of 0": (
        "cpu: {default: 0}",
        "26: missing.cpu.default: a default of 0 declares nothing: write ignore, or require",
    ),
    "a default below 0": ("limits.cpu: {default: -1}", "33: missing[limits.cpu].default: -1 is negative"),
    "a part of a byte": (
        "memory: {default: 500m}",
        "29: missing.memory.default: 500m is no whole number of bytes: write it as in 256Mi",
    ),
    "a default that is no quantity": (
        "cpu: {default: unlimited}",
        "26: missing.cpu.default: invalid quantity 'unlimited': it has no digits",
    ),
    "a default that is a list": (
        "cpu: {default: [1]}",
        "26: missing.cpu.default: expected an amount such as 100m or 256Mi",
    ),
    "a misspelt word": ("cpu: requires", "16: missing.cpu: unknown word requires, did you mean require?"),
    "an unknown word": ("cpu: deny", "16: missing.cpu: unknown word deny; known are require, ignore"),
    "a number": ("cpu: 5", f"16: missing.cpu: {WORDS}"),
    "a fraction": ("cpu: 1.5", f"16: missing.cpu: {WORDS}"),
    "no value": ("cpu: ", f"16: missing.cpu: {WORDS}"),
    "no default": ("cpu: {}", "16: missing.cpu.default: this field is required"),
    "another field": ("cpu: {default: 1, max: 2}", "29: missing.cpu.max: unknown field; known are default"),
    "the long name of a request": ("requests.cpu: require", "11: missing[requests.cpu]: write cpu"),
    "a misspelt name": (
        "limit.cpu: require",
        "11: missing[limit.cpu]: unknown request or limit, did you mean limits.cpu?",
    ),
    "a name that no container may lack": (
        "pods: require",
        (
            "11: missing.pods: unknown request or limit; known are cpu, memory, ephemeral-storage, limits.cpu, "
            "limits.memory, limits.ephemeral-storage"
        ),
    ),
}


@pytest.mark.parametrize(("text", "told"), ODD_MISSING.values(), ids=ODD_MISSING.keys())
def test_an_odd_rule_for_what_is_missing_is_a_mistake_at_its_place(text: str, told: str) -> None:
    assert mistakes(f"version: 1\nmissing: {{{text}}}\n") == [f"policy.yaml:2:{told}"]


def test_a_rule_for_what_is_missing_is_defined_once() -> None:
    texts = [PolicyText(name, "version: 1\nmissing: {cpu: require}\n") for name in "ab"]

    assert [str(each) for each in read_policy(texts).mistakes] == ["b:2:16: missing.cpu: already defined at a:2"]


# Everything else.

RESOURCES = (
    "accelerator, cpu, ephemeral-storage, gpu, limits.cpu, limits.ephemeral-storage, limits.memory, memory, "
    "persistentvolumeclaims, pods, requests.cpu, requests.ephemeral-storage, requests.memory, requests.storage, "
    "sessions, storage"
)
SECTIONS = (
    "version, tiers, defaults, rules, users, serviceAccounts, groups, tenants, namespaces, cluster, combine, "
    "terminating, reserve, tags, serviceAccountLimits, warnAt, exempt, missing, attribution, resources, sessions, "
    "nodeClasses, brokerQuotas, commitments"
)
VERSION = "version: expected version: 1, the only one this release reads"
ACCOUNT = "expected a service account as <namespace>/<name>"
ZONE = "the time zone is missing: write Z for UTC, or as in 2027-01-31T00:00:00+01:00"
TIME = "expected a time, as in 2027-01-31T00:00:00Z"
ONE_OF = "expected one of user, serviceAccount, group, namespace, priorityClass"


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("{user: alice}", "2:10: exempt[0].reason: this field is required"),
        ("{reason: x}", f"2:10: exempt[0]: {ONE_OF}"),
        ("{user: alice, group: ml, reason: x}", f"2:10: exempt[0]: {ONE_OF}"),
        ('{user: alice, reason: ""}', "2:32: exempt[0].reason: expected a name without spaces around it"),
        ("{serviceAccount: alice, reason: x}", f"2:27: exempt[0].serviceAccount: {ACCOUNT}"),
        (
            '{user: "system:serviceaccount:a:b", reason: x}',
            "2:10: exempt[0]: write a service account as serviceAccount: <namespace>/<name>",
        ),
        ("{user: alice, reason: x, until: soon}", f"2:42: exempt[0].until: {TIME}"),
    ],
)
def test_a_mistake_in_an_exemption_is_told_with_its_place(written: str, mistake: str) -> None:
    assert mistakes(f"version: 1\nexempt: [{written}]\n") == [f"policy.yaml:{mistake}"]


def test_names_that_differ_by_case_only_are_noted() -> None:
    first = "version: 1\nusers: {alice@example.com: {}, bob: {}}\ngroups: {ML: {}}\n"
    second = "version: 1\nusers: {Alice@example.com: {}}\ngroups: {ml: {}}\nnamespaces: {BOB: {}}\n"

    found = read_policy([PolicyText("p", first), PolicyText("q", second)])

    assert found.mistakes == ()
    why = "by small and capital letters only: these are two"
    assert [str(each) for each in found.notes] == [
        f"q:2:28: users[Alice@example.com]: differs from alice@example.com at p:2 {why}",
        f"q:3:14: groups.ml: differs from ML at p:3 {why}",
    ]


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("tenants", "{namespaces: {matchLabels: {team: red}}}"),
        ("namespaces", "{}"),
        ("tiers", "{hard: {cpu: 1}}"),
        ("commitments", "{user: alice, nodeClass: h100, amounts: {gpu: 1}}"),
    ],
)
def test_keys_of_every_section_that_differ_by_case_only_are_noted(section: str, value: str) -> None:
    classes = "nodeClasses: {h100: {nodes: {matchLabels: {gpu: h100}}}}\n"
    found = read_policy([PolicyText("p", f"version: 1\n{classes}{section}:\n  red: {value}\n  Red: {value}\n")])

    assert found.mistakes == ()
    [note] = [str(each) for each in found.notes if "capital" in str(each)]
    assert note.endswith(f": {section}.Red: differs from red at p:4 by small and capital letters only: these are two")


DELEGATES = """
version: 1
attribution:
  delegates:
    - serviceAccount: jhub/hub
      owner:
        - preset: jupyterhub
        - {label: user, pattern: "u-*", decode: [escaped, lower], prefix: "oidc:"}
      kinds: [pods]
      never: [admin]
  namespaceOwners: [{namespaceAnnotation: owner}, {namespaceName: "home-*"}]
"""


def test_delegates_and_owners_of_namespaces_are_read() -> None:
    hub = "system:serviceaccount:jhub:hub"

    policy = read(DELEGATES)

    marks = (
        Mark(Place.ANNOTATION, "hub.jupyter.org/username"),
        Mark(Place.LABEL, "user", "u-*", (Decoding.ESCAPED, Decoding.LOWER), "oidc:"),
    )
    assert policy.delegates == {hub: Delegate(hub, marks, frozenset({"pods"}), frozenset({"admin"}))}
    assert policy.namespace_owners == (
        Mark(Place.NAMESPACE_ANNOTATION, "owner"),
        Mark(Place.NAMESPACE_NAME, pattern="home-*"),
    )


NO_NAME = "expected owner, where the name is written, or sessions: true for those of the presets"
PLACES = "expected one of annotation, label, namespaceAnnotation, namespaceLabel, namespaceName, preset"


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("delegates: [{user: a}]", f"2:27: attribution.delegates[0]: {NO_NAME}"),
        ("delegates: [{user: a, owner: []}]", f"2:27: attribution.delegates[0]: {NO_NAME}"),
        ("delegates: [{user: a, sessions: false}]", f"2:27: attribution.delegates[0]: {NO_NAME}"),
        (
            "delegates: [{owner: [{label: x}]}]",
            "2:27: attribution.delegates[0]: expected one of user, serviceAccount",
        ),
        ("delegates: [{user: a, owner: [{}]}]", f"2:45: attribution.delegates[0].owner[0]: {PLACES}"),
        (
            "delegates: [{user: a, owner: [{label: x, annotation: other}]}]",
            f"2:45: attribution.delegates[0].owner[0]: {PLACES}",
        ),
        (
            "delegates: [{user: a, owner: [{label: x, pattern: abc}]}]",
            ("2:65: attribution.delegates[0].owner[0].pattern: expected a text with one *, which stands for the name"),
        ),
        (
            "delegates: [{user: a, owner: [{preset: jupiterhub}]}]",
            "2:54: attribution.delegates[0].owner[0].preset: unknown preset jupiterhub, did you mean jupyterhub?",
        ),
        (
            "delegates: [{user: a, kinds: [pod], owner: [{label: x}]}]",
            "2:45: attribution.delegates[0].kinds[0]: unknown kind pod, did you mean pods?",
        ),
        (
            "namespaceOwners: [{annotation: owner}]",
            "2:14: attribution: namespaceOwners: only a namespace can say who owns it, not an object in it",
        ),
    ],
)
def test_a_mistake_in_who_may_act_for_others_is_told_with_its_place(written: str, mistake: str) -> None:
    assert mistakes(f"version: 1\nattribution: {{{written}}}\n") == [f"policy.yaml:{mistake}"]


def test_a_delegate_and_the_owners_of_namespaces_are_given_once() -> None:
    text = "version: 1\nattribution: {delegates: [{user: a, owner: [{label: x}]}], namespaceOwners: [{preset: che}]}\n"

    found = read_policy([PolicyText("p", text), PolicyText("q", text)])

    assert [str(each) for each in found.mistakes] == [
        "q:2:27: attribution.delegates.a: already defined at p:2",
        "q:2:77: attribution.namespaceOwners: already defined at p:2",
    ]


def test_exemptions_of_all_documents_are_read() -> None:
    first = """version: 1
exempt:
  - {group: "system:masters", reason: administrators}
  - {serviceAccount: net/operator, reason: the network, until: 2027-01-31T00:00:00Z}
"""
    second = "version: 1\nexempt: [{priorityClass: critical, reason: each node}, {namespace: mon, reason: x}]\n"
    found = read_policy([PolicyText("a", first), PolicyText("b", second)])

    assert found.policy is not None
    assert found.policy.exemptions == Exemptions(
        [
            Exemption(ExemptBy.GROUP, "system:masters", "administrators"),
            Exemption(
                ExemptBy.SERVICE_ACCOUNT,
                "system:serviceaccount:net:operator",
                "the network",
                datetime(2027, 1, 31, tzinfo=UTC),
            ),
            Exemption(ExemptBy.PRIORITY_CLASS, "critical", "each node"),
            Exemption(ExemptBy.NAMESPACE, "mon", "x"),
        ]
    )


MISTAKES = {
    "no version": ("users: {}", ["1:1: version: this field is required"]),
    "another version": ("version: 2", [f"1:10: {VERSION}"]),
    "a version in quotes": ('version: "1"', [f"1:10: {VERSION}"]),
    "a version that is true, which Python takes for 1": ("version: true", [f"1:10: {VERSION}"]),
    "a version with a point": ("version: 1.0", [f"1:10: {VERSION}"]),
    "a list": ("- version: 1", ["1:1: expected fields, each with a value"]),
    "a word": ("unlimited", ["1:1: expected fields, each with a value"]),
    "a misspelt section": ("version: 1\nuser: {}", ["2:1: user: unknown field, did you mean users?"]),
    "an unknown section": ("version: 1\nquota: {}", [f"2:1: quota: unknown field; known are {SECTIONS}"]),
    "a reserve of something else": (
        "version: 1\nreserve: [autoscaler]",
        ["2:11: reserve[0]: input should be 'autoscalers' or 'sessions'"],
    ),
    "tags that are no keys of labels": (
        "version: 1\ntags: [team, -a, a/b/c, Example.com/x, 7]",
        [
            f"2:{column}: tags[{number}]: expected the key of a label, as cost-center or example.com/team"
            for number, column in ((1, 14), (2, 18), (3, 25))
        ]
        + ["2:40: tags[4]: expected text: write it in quotes"],
    ),
    "a tag that is too long": (
        f"version: 1\ntags:\n- {'a' * 64}\n- {'a' * 254}/b",
        [
            f"{line}:3: tags[{line - 3}]: expected the key of a label, as cost-center or example.com/team"
            for line in (3, 4)
        ],
    ),
    "too many tags": (
        f"version: 1\ntags: [{', '.join('abcdefghi')}]",
        ["2:7: tags: 9 keys, expected at most 8"],
    ),
    "a tag twice": ("version: 1\ntags: [a, b, a]", ["2:7: tags: a is listed twice"]),
    "tags that are no list": ("version: 1\ntags: team", ["2:7: tags: expected a list"]),
    "a reserve that is no list": ("version: 1\nreserve: autoscalers", ["2:10: reserve: expected a list"]),
    "a misspelt field": (
        "version: 1\nusers:\n  alice:\n    perpod: {cpu: 1}",
        ["4:5: users.alice.perpod: unknown field, did you mean perPod?"],
    ),
    "a field of another section": (
        "version: 1\ngroups: {ml: {hard: {cpu: 1}}}",
        ["2:15: groups.ml.hard: unknown field; known are perMember, pool, members, membership"],
    ),
    "a cap for one pod in a pool": (
        "version: 1\ngroups: {ml: {pool: {perPod: {cpu: 1}}}}",
        [f"2:22: groups.ml.pool.perPod: unknown field; known are {', '.join(PoolPart.model_fields)}"],
    ),
    "a misspelt resource": (
        "version: 1\ncluster: {hard: {gpus: 1}}",
        ["2:18: cluster.hard.gpus: unknown resource, did you mean gpu?"],
    ),
    "a resource in capitals": (
        "version: 1\ncluster: {hard: {CPU: 1}}",
        ["2:18: cluster.hard.CPU: unknown resource, did you mean cpu?"],
    ),
    "a number of objects in capitals": (
        "version: 1\ncluster: {hard: {count/Pods: 1}}",
        ["2:18: cluster.hard[count/Pods]: unknown resource, did you mean count/pods?"],
    ),
    "our own resource as a request": (
        "version: 1\ncluster: {hard: {requests.gpu: 1}}",
        ["2:18: cluster.hard[requests.gpu]: unknown resource, did you mean gpu?"],
    ),
    "a limit on devices, of which there are only requests": (
        "version: 1\ncluster: {hard: {limits.amd.com/gpu: 1}}",
        ["2:18: cluster.hard[limits.amd.com/gpu]: unknown resource, did you mean amd.com/gpu?"],
    ),
    "a resource that is like none": (
        "version: 1\ncluster: {hard: {volume: 1}}",
        [f"2:18: cluster.hard.volume: unknown resource; known are {RESOURCES}"],
    ),
    "a limit beside hard": (
        "version: 1\nusers: {alice: {gpu: 1}}",
        ["2:17: users.alice.gpu: unknown field; a limit belongs under hard, as in hard: {gpu: ...}"],
    ),
    "a section in the singular": (
        "version: 1\nresource: {gpu: {a.b/c: 1}}",
        ["2:1: resource: unknown field, did you mean resources?"],
    ),
    "a mode that nobody knows": (
        "version: 1\nusers: {alice: {mode: warning}}",
        ["2:23: users.alice.mode: input should be 'enforce', 'warn' or 'audit'"],
    ),
    "a way to combine that nobody knows": (
        "version: 1\ncombine: least",
        ["2:10: combine: input should be 'most-restrictive', 'max' or 'sum'"],
    ),
    "an end without a zone": (
        "version: 1\nusers: {alice: {until: 2027-01-31T00:00:00}}",
        [f"2:24: users.alice.until: {ZONE}"],
    ),
    "an end that is a day": ("version: 1\nusers: {alice: {until: 2027-01-31}}", [f"2:24: users.alice.until: {ZONE}"]),
    "an end that is a year, which would be in 1970": (
        "version: 1\nusers: {alice: {until: 2027}}",
        [f"2:24: users.alice.until: {TIME}"],
    ),
    "an end in seconds": ('version: 1\nusers: {alice: {until: "1800000000"}}', [f"2:24: users.alice.until: {TIME}"]),
    "an end that is a fraction": ("version: 1\nusers: {alice: {until: 1.5}}", [f"2:24: users.alice.until: {TIME}"]),
    "an end that is a word": ("version: 1\nusers: {alice: {until: tomorrow}}", [f"2:24: users.alice.until: {TIME}"]),
    "a service account without a namespace": (
        "version: 1\nserviceAccounts: {runner: {}}",
        [f"2:19: serviceAccounts.runner: {ACCOUNT}"],
    ),
    "a service account by its full name": (
        'version: 1\nserviceAccounts: {"system:serviceaccount:ci:runner": {}}',
        [f"2:19: serviceAccounts[system:serviceaccount:ci:runner]: {ACCOUNT}"],
    ),
    "a service account that smuggles a colon": (
        'version: 1\nserviceAccounts: {"ci/a:b": {}}',
        [f"2:19: serviceAccounts[ci/a:b]: {ACCOUNT}"],
    ),
    "trusted controllers by a pattern": (
        'version: 1\nattribution: {trustedControllers: [hub/op, "*/*", hub, " hub/op"]}',
        [
            f"2:44: attribution.trustedControllers[1]: {ACCOUNT}",
            f"2:51: attribution.trustedControllers[2]: {ACCOUNT}",
            f"2:56: attribution.trustedControllers[3]: {ACCOUNT}",
        ],
    ),
    "a service account among the users": (
        'version: 1\nusers: {"system:serviceaccount:ci:runner": {}}',
        [
            (
                "2:44: users[system:serviceaccount:ci:runner]: "
                "a service account belongs into serviceAccounts, as namespace/name"
            )
        ],
    ),
    "names with spaces around them": (
        'version: 1\nusers: {" alice": {}, "": {}}\ngroups: {ml: {members: ["bob "]}}',
        [
            "2:9: users[ alice]: expected a name without spaces around it",
            '2:23: users[""]: expected a name without spaces around it',
            "3:25: groups.ml.members[0]: expected a name without spaces around it",
        ],
    ),
    "names that YAML changes": (
        "version: 1\nusers: {no: {}, 007: {}}\ngroups: {ml: {members: [yes, 0x1]}}",
        [
            "2:9: users: YAML reads no as false here: write it in quotes",
            "2:17: users: YAML reads 007 as 7 here: write it in quotes",
            "3:25: groups.ml.members[0]: expected text: write it in quotes",
            "3:30: groups.ml.members[1]: YAML reads 0x1 as 1 here: write 1",
            "3:30: groups.ml.members[1]: expected text: write it in quotes",
        ],
    ),
    "a section without a value": ("version: 1\nusers:\n", ["2:7: users: expected fields, each with a value"]),
    "an entry without a value": (
        "version: 1\nusers:\n  alice:\n",
        ["3:9: users.alice: expected fields, each with a value"],
    ),
    "members that are one name": (
        "version: 1\ngroups: {ml: {members: alice}}",
        ["2:24: groups.ml.members: expected a list"],
    ),
    "a tenant without namespaces": (
        "version: 1\ntenants: {r: {hard: {cpu: 1}}}",
        ["2:14: tenants.r.namespaces: this field is required"],
    ),
    "a tenant of all namespaces": (
        "version: 1\ntenants: {r: {namespaces: {matchLabels: {}}}}",
        ["2:41: tenants.r.namespaces.matchLabels: expected at least one"],
    ),
    "a label that is a number": (
        "version: 1\ntenants: {r: {namespaces: {matchLabels: {team: 1}}}}",
        ["2:48: tenants.r.namespaces.matchLabels.team: expected text: write it in quotes"],
    ),
    "an anchor and its alias": (
        "version: 1\nusers: {alice: &x {hard: {cpu: 1}}, bob: *x}",
        [
            "2:16: users.alice: the anchor &x is not accepted: write the value out where it is needed",
            "2:42: users.bob: the alias *x is not accepted: write the value out",
        ],
    ),
    "a merge key": (
        "version: 1\nusers: {alice: {<<: {hard: {}}}}",
        ["2:17: users.alice: the merge key << is not accepted: write the fields out"],
    ),
    "a key given twice": (
        "version: 1\nusers:\n  alice: {}\n  alice: {}\n",
        ['4:3: users.alice: the key "alice" is given twice, first at line 3, column 3'],
    ),
    "a resource given twice": (
        "version: 1\ncluster: {hard: {requests.cpu: 2, cpu: 1}}",
        ["2:40: cluster.hard.cpu: requests.cpu is given twice, under its short and its full name"],
    ),
    "a tab": ("version: 1\nusers:\n\talice: {}", ["3:1: a tab cannot stand here: indent with spaces"]),
    "a name on two lines": (
        'version: 1\nusers: {"a\\nb": {hrad: 1}}',
        ['2:18: users["a\\nb"].hrad: unknown field, did you mean hard?'],
    ),
}


@pytest.mark.parametrize(("text", "told"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_place_and_what_to_write(text: str, told: list[str]) -> None:
    assert mistakes(text) == [f"policy.yaml:{each}" for each in told]


def test_all_mistakes_are_told_at_once() -> None:
    text = """\
version: 1
defaults: {user: {hard: {cpu: 1K, gpus: 1}, perpod: {}}}
users: {alice: {hard: {memory: -1}, mode: warm}}
serviceAccounts: {runner: {}}
groups: {ml: {pools: {}}}
tenants: {r: {}}
combine: least
quota: 5
"""

    assert [each.partition(": ")[0] for each in mistakes(text)] == [
        f"policy.yaml:{place}"
        for place in ("2:31", "2:35", "2:45", "3:32", "3:43", "4:19", "5:15", "6:14", "7:10", "8:1")
    ]


def test_with_one_mistake_nothing_is_in_force() -> None:
    found = read_policy([PolicyText("a", EXAMPLE), PolicyText("b", "version: 1\ncluster: {hard: {cpu: 1K}}\n")])

    assert found.policy is None
    assert [each.source for each in found.mistakes] == ["b"]


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2027-01-31T00:00:00Z", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T00:00:00+01:00", datetime(2027, 1, 31, tzinfo=timezone(timedelta(hours=1)))),
        ('"2027-01-31 00:00:00.5-05:30"', datetime(2027, 1, 31, 5, 30, 0, 500000, tzinfo=UTC)),
    ],
)
def test_an_end_is_a_moment_with_its_zone(written: str, moment: datetime) -> None:
    policy = read(f"version: 1\nusers: {{alice: {{until: {written}}}}}")

    assert policy.users["alice"].until == moment


def test_limits_of_sessions_are_noted_while_nothing_is_one() -> None:
    text = """\
version: 1
users:
  alice: {hard: {sessions: 2, cpu: 1, storage: 1Gi}, perSession: {cpu: 1}, perClaim: {storage: 1Gi}, perPod: {cpu: 1}}
"""
    found = read_policy([PolicyText("policy.yaml", text)])

    assert found.policy is not None
    assert [str(note) for note in found.notes] == [
        f"policy.yaml:3:28: users.alice.hard.sessions: {NO_PRESET}",
        f"policy.yaml:3:66: users.alice.perSession: {NO_PRESET}",
    ]
    with_preset = PolicyText("sessions.yaml", "version: 1\nsessions: {presets: [dask]}\n")
    assert read_policy([PolicyText("policy.yaml", text), with_preset]).notes == ()


@pytest.mark.parametrize(
    "text",
    ["&a [" * 50, "{" * 100_000, "\0", "\ud800", "version: 1\nusers: {" + "a: {}, " * 200_000, "%YAML 9\n---\n"],
    ids=["anchors", "brackets", "a NUL", "a surrogate", "too long", "a directive"],
)
def test_a_bomb_is_a_mistake(text: str) -> None:
    assert len(mistakes(text)) >= 1


NO_PRESET = "nothing is a session without sessions.presets; the limit has no effect"


def scoped(written: str) -> str:
    return f"version: 1\nusers:\n  alice:\n    scoped:\n      - {written}\n"


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("{hard: {pods: 1}}", "5:9: users.alice.scoped[0]: it selects nothing: write scopes or scopeSelector"),
        (
            "{scopes: [BestEfort], hard: {pods: 1}}",
            "5:19: users.alice.scoped[0].scopes[0]: unknown scope BestEfort, did you mean BestEffort?",
        ),
        (
            "{scopes: [Terminating, NotTerminating]}",
            "5:9: users.alice.scoped[0]: no object is both Terminating and NotTerminating",
        ),
        (
            "{scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}]}}",
            "5:45: users.alice.scoped[0].scopeSelector.matchExpressions[0]: operator In needs values",
        ),
        (
            "{scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: Exists, values: [a]}]}}",
            "5:45: users.alice.scoped[0].scopeSelector.matchExpressions[0]: operator Exists takes no values",
        ),
        (
            "{scopeSelector: {matchExpressions: [{scopeName: Terminating, operator: In, values: [a]}]}}",
            (
                "5:45: users.alice.scoped[0].scopeSelector.matchExpressions[0]: "
                "scope Terminating has no values: its operator has to be Exists"
            ),
        ),
        (
            "{scopes: [BestEffort]}\n      - {scopes: [BestEffort]}",
            "6:9: users.alice.scoped[1]: users.alice.scoped[0] selects the same",
        ),
        ("{scopes: [BestEffort], hard: {podz: 1}}", "5:39: users.alice.scoped[0].hard.podz: unknown resource"),
        (
            "{scopeSelector: {matchExpressions: [{scopeName: NodeClass, operator: In, values: [h100]}]}}",
            "5:91: users.alice.scoped[0].scopeSelector.matchExpressions[0].values[0]: the policy defines no ",
        ),
        (
            "{scopes: [BestEffort], onDemand: true}",
            "5:9: users.alice.scoped[0]: a limit on demand is of one class of nodes: select by NodeClass, In and one ",
        ),
        (
            "{onDemand: true, scopeSelector: {matchExpressions: [{scopeName: NodeClass, operator: Exists}]}}",
            "5:9: users.alice.scoped[0]: a limit on demand is of one class of nodes: select by NodeClass, In and one ",
        ),
        (
            "{scopes: [BestEffort], ondemand: true}",
            "5:32: users.alice.scoped[0].ondemand: unknown field, did you mean on",
        ),
        (
            "{scopes: [], scopeSelector: {matchExpressions: [{scopeName: Zone, operator: Exists}]}}",
            "5:57: users.alice.scoped[0].scopeSelector.matchExpressions[0]: the policy defines no nodeClasses",
        ),
    ],
)
def test_a_mistake_in_a_scope_has_its_place(written: str, mistake: str) -> None:
    reading = read_policy([PolicyText("policy.yaml", scoped(written))])

    assert str(reading.mistakes[0]).startswith(f"policy.yaml:{mistake}")


OF_H100 = "scopeSelector: {matchExpressions: [{scopeName: NodeClass, operator: In, values: [h100]}]}"


def test_a_limit_on_demand_stands_beside_one_on_all() -> None:
    text = (
        f"version: 1\n{H100}tenants:\n  research:\n    namespaces: {{matchLabels: {{team: research}}}}\n    scoped:\n"
    )
    text += f"      - {{{OF_H100}, hard: {{gpu: 8}}}}\n      - {{{OF_H100}, onDemand: true, hard: {{gpu: 4}}}}\n"
    reading = read_policy([PolicyText("policy.yaml", text)])

    assert reading.policy is not None, reading.mistakes
    whole, on_demand = reading.policy.tenants["research"].entry.scoped
    assert (str(whole.selector), str(on_demand.selector)) == ("NodeClass In (h100)", "NodeClass In (h100), on demand")


def test_the_cluster_has_no_limit_on_demand() -> None:
    text = f"version: 1\n{H100}cluster:\n  scoped:\n    - {{{OF_H100}, onDemand: true, hard: {{gpu: 4}}}}\n"
    [found] = read_policy([PolicyText("policy.yaml", text)]).mistakes
    assert str(found).startswith("policy.yaml:5:109: cluster.scoped[0].onDemand: nothing is promised to the cluster: ")


def test_a_limit_that_its_scope_never_selects_is_noted() -> None:
    reading = read_policy([PolicyText("policy.yaml", scoped("{scopes: [BestEffort], hard: {storage: 1Gi}}"))])

    assert reading.policy is not None
    assert [str(each) for each in reading.notes] == [
        (
            "policy.yaml:5:48: users.alice.scoped[0].hard.storage: "
            "nothing that costs this is ever in BestEffort; the limit has no effect"
        )
    ]


H100 = "nodeClasses: {h100: {nodes: {matchLabels: {gpu: h100}}, devices: [nvidia.com/gpu]}}\n"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("nodeClasses: {h100: {}}", "2:21: nodeClasses.h100.nodes: this field is required"),
        ("nodeClasses: {h100: {nodes: {matchLabels: {}}}}", "2:43: nodeClasses.h100.nodes.matchLabels: "),
        ("nodeClasses: {H100: {nodes: {matchLabels: {a: b}}}}", "2:15: nodeClasses.H100: expected a name of small"),
        (
            "nodeClasses: {h100: {nodes: {matchLabels: {a: b}}, devices: [gpu]}}",
            "2:62: nodeClasses.h100.devices[0]: expected an extended resource, as in nvidia.com/gpu",
        ),
        (
            H100
            + "users:\n  alice:\n    scoped:\n      - {scopeSelector: {matchExpressions: "
            + "[{scopeName: NodeClass, operator: In, values: [h200]}]}}",
            "6:91: users.alice.scoped[0].scopeSelector.matchExpressions[0].values[0]: h200 is not in nodeClasses, did",
        ),
    ],
)
def test_a_mistake_in_a_class_of_nodes_has_its_place(text: str, mistake: str) -> None:
    reading = read_policy([PolicyText("policy.yaml", f"version: 1\n{text}\n")])

    assert str(reading.mistakes[0]).startswith(f"policy.yaml:{mistake}")


def test_two_texts_with_classes_of_nodes_are_a_mistake_because_their_order_counts() -> None:
    texts = [PolicyText(f"{name}.yaml", f"version: 1\n{H100}") for name in "ab"]

    assert [str(each) for each in read_policy(texts).mistakes] == [
        "b.yaml:2:14: nodeClasses: already defined at a.yaml:2"
    ]


TENANT = "tenants: {research: {namespaces: {matchLabels: {team: research}}}}\n"


def promised(*written: str) -> str:
    listed = "".join(f"  c-{number}: {each}\n" for number, each in enumerate(written))
    return f"version: 1\n{H100}{TENANT}commitments:\n{listed}"


@pytest.mark.parametrize(
    ("written", "mistakes"),
    [
        (
            "{nodeClass: h100, amounts: {gpu: 1}}",
            ["c-0: expected one of user, serviceAccount, namespace, group, tenant"],
        ),
        ("{tenant: research, user: a, nodeClass: h100, amounts: {gpu: 1}}", ["c-0: expected one of user, "]),
        ("{tenant: research, amounts: {gpu: 1}}", ["c-0.nodeClass: this field is required"]),
        ("{tenant: research, nodeClass: h100, amounts: {}}", ["c-0.amounts: "]),
        ("{tenant: research, nodeClass: h100, amounts: {gpu: 0}}", ["c-0.amounts: gpu: expected an amount above 0"]),
        ("{tenant: research, nodeClass: h100, amounts: {gpu: -1}}", ["c-0.amounts.gpu: -1 is negative"]),
        ("{tenant: research, nodeClass: h100, amounts: {gpu: unlimited}}", ["c-0.amounts: gpu: expected an amount"]),
        (
            "{tenant: research, nodeClass: h100, amounts: {sessions: 1}}",
            ["c-0.amounts: sessions is nothing that nodes"],
        ),
        ("{tenant: research, nodeClass: h100, amounts: {limits.cpu: 1}}", ["c-0.amounts: limits.cpu is nothing that"]),
        (
            "{tenant: research, nodeClass: a100, amounts: {gpu: 1}}",
            ["c-0.nodeClass: a100 is not in nodeClasses, did you"],
        ),
        (
            "{tenant: reserch, nodeClass: h100, amounts: {gpu: 1}}",
            ["c-0.tenant: reserch has no entry under tenants, did"],
        ),
        ("{group: ml, nodeClass: h100, amounts: {gpu: 1}}", ["c-0.group: ml has no entry under groups"]),
        (
            "{user: a, nodeClass: h100, amounts: {gpu: 1}, from: 2027-01-02T00:00:00Z, until: 2027-01-01T00:00:00Z}",
            ["c-0: it ends before it begins: until has to be later than from"],
        ),
        (
            "{user: a, nodeClass: h100, amounts: {gpu: 1}, from: 2027-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z}",
            ["c-0: it ends before it begins"],
        ),
        (
            "{tenant: research, nodeClass: h100, amounts: {gpu: 1}, state: sold}",
            ["c-0.state: input should be 'planned', "],
        ),
        (
            "{tenant: research, nodeClass: h100, amounts: {gpu: 1}, state: guaranteed}",
            ["c-0: what is guaranteed begins"],
        ),
        ("{tenant: research, nodeClass: h100, amounts: {gpu: 1}, zone: [a, b]}", ["c-0.zone: expected text"]),
        (
            "{user: a, nodeClass: h100, amounts: {gpu: 1}, from: 2027-01-01T00:00:00Z, for: -1 month}",
            ["c-0.for: '-1 month' is no period: it is negative"],
        ),
        (
            "{user: a, nodeClass: h100, amounts: {gpu: 1}, from: 2027-01-01T00:00:00Z, for: 90}",
            ["c-0.for: expected a period, as in 1 year, 3 months"],
        ),
        (
            "{user: a, nodeClass: h100, amounts: {gpu: 1}, for: 1 year}",
            ["c-0: for counts from the beginning: give from as well"],
        ),
        (
            "{user: a, nodeClass: h100, amounts: {gpu: 1}, from: 2027-01-01T00:00:00Z, for: 9000 years}",
            ["c-0: '9000 years' is no period: it ends after the year 9999"],
        ),
        (
            "{user: a, nodeClass: h100, amounts: {gpu: 1}, from: 2027-01-01T00Z, for: 1 day, until: 2028-01-01T00Z}",
            ["c-0: until and for both say when it ends: give one of them"],
        ),
        (
            "{user: a, nodeClass: h100, amounts: {gpu: 1}, offer: {}}",
            ["c-0.offer.tokenDigest: this field is required"],
        ),
        (
            "{user: a, nodeClass: h100, amounts: {gpu: 1}, offer: {tokenDigest: b52a, until: tomorrow, by: x}}",
            [
                "c-0.offer.tokenDigest: expected the digest of a token: sha256: and 64 digits of 0-9 and a-f",
                "c-0.offer.until: expected a time, as in 2027-01-31T00:00:00Z",
                "c-0.offer.by: unknown field; known are tokenDigest, until",
            ],
        ),
        (
            f"{{user: a, nodeClass: h100, amounts: {{gpu: 1}}, offer: {{tokenDigest: 'sha256:{'A' * 64}'}}}}",
            ["c-0.offer.tokenDigest: expected the digest of a token"],
        ),
        (
            f"{{user: a, nodeClass: h100, amounts: {{gpu: 1}}, offer: {{tokenDigest: 'sha256:{'a' * 64}', until: 1}}}}",
            ["c-0.offer.until: expected a time"],
        ),
        ("{user: a, nodeClass: h100, amounts: {gpu: 1}, offer: yes}", ["c-0.offer: expected fields, each with a"]),
    ],
)
def test_a_mistake_in_a_commitment_is_told(written: str, mistakes: list[str]) -> None:
    reading = read_policy([PolicyText("policy.yaml", promised(written))])

    assert len(reading.mistakes) == len(mistakes)
    for found, wanted in zip(reading.mistakes, mistakes, strict=True):
        assert str(found).partition(": ")[2].startswith(f"commitments.{wanted}"), str(found)
        assert found.position.line == 5


def test_of_one_class_all_commitments_that_are_not_over_name_a_zone_or_none_does() -> None:
    first, over = "{tenant: research, nodeClass: h100, amounts: {gpu: 1}, zone: a", "state: expired}"
    text = promised(
        f"{first}}}", "{user: a, nodeClass: h100, amounts: {gpu: 1}}", f"{first}, {over}".replace(", zone: a", "")
    )

    assert [str(each) for each in read_policy([PolicyText("policy.yaml", text)]).mistakes] == [
        ("policy.yaml:6:8: commitments.c-1.zone: c-0 at policy.yaml:5 names a zone: of one class either all do or none")
    ]


def test_a_mistake_in_an_offer_is_told_at_its_column() -> None:
    text = promised("{user: a, nodeClass: h100, amounts: {gpu: 1}, offer: {tokenDigest: b52a}}")
    [found] = read_policy([PolicyText("policy.yaml", text)]).mistakes
    assert str(found).startswith("policy.yaml:5:75: commitments.c-0.offer.tokenDigest: ")


def test_an_offer_is_read_as_it_is_written() -> None:
    offered = f"{{user: a, nodeClass: h100, amounts: {{gpu: 1}}, offer: {{tokenDigest: {digest_of('b52a')}"
    text = promised(f"{offered}, until: 2027-01-01T00:00:00Z}}}}")
    policy = read_policy([PolicyText("policy.yaml", text)]).policy

    assert policy is not None
    [found] = policy.commitments.every
    assert found.offer == TransferOffer(digest_of("b52a"), datetime(2027, 1, 1, tzinfo=UTC))
    assert str(found) == "gpu=1 of h100 to user/a, confirmed, offered until 2027-01-01T00:00:00Z"


def test_no_two_commitments_are_offered_by_one_token() -> None:
    offered = f"{{user: a, nodeClass: h100, amounts: {{gpu: 1}}, offer: {{tokenDigest: {digest_of('b52a')}}}}}"
    [found] = read_policy([PolicyText("policy.yaml", promised(offered, offered))]).mistakes
    assert str(found) == (
        "policy.yaml:6:75: commitments.c-1.offer.tokenDigest: c-0 at policy.yaml:5 is offered by the same token: each "
        "takes one of its own"
    )


def test_a_commitment_is_read_as_it_is_written() -> None:
    text = promised(
        "{tenant: research, nodeClass: h100, zone: a, amounts: {gpu: 1/2, cpu: 1500m}, from: 2027-01-01T00:00:00Z}"
    )
    policy = read_policy([PolicyText("policy.yaml", text)]).policy

    assert policy is not None
    assert [str(each) for each in policy.commitments.every] == [
        "gpu=1/2,requests.cpu=1500m of h100 in a to tenant/research, confirmed from 2027-01-01T00:00:00+00:00"
    ]
    assert policy.commitments.every[0].place == "policy.yaml:5"
    assert policy.class_entries["h100"].place == "policy.yaml:2"


def test_a_commitment_lasts_as_long_as_a_calendar_says() -> None:
    text = promised(
        "{user: a, nodeClass: h100, amounts: {gpu: 1}, from: 2028-02-29T00:00:00Z, for: '1 year, 3 months'}"
    )
    reading = read_policy([PolicyText("policy.yaml", text)])

    assert reading.policy is not None
    assert str(reading.policy.commitments.every[0].ends) == "2029-05-29 00:00:00+00:00"
    assert [str(each.place) for each in reading.endings] == ["policy.yaml:5:87: commitments.c-0.for: "]


def test_what_resources_of_a_class_are_worth_is_read() -> None:
    text = f"version: 1\n{H100.rstrip()[:-2]}, worth: {{gpu: 4, cpu: 1}}}}}}\n"
    policy = read_policy([PolicyText("policy.yaml", text)]).policy

    assert policy is not None
    assert policy.worth == {"h100": {"gpu": 4, "requests.cpu": 1}}
    assert policy.terms_of("h100").committable == 1
    for wrong in ("0", "-1", "1.5", "two", "'4'"):
        mistakes = read_policy([PolicyText("policy.yaml", text.replace("gpu: 4", f"gpu: {wrong}"))]).mistakes
        assert [each.path for each in mistakes] == ["nodeClasses.h100.worth.gpu"]


def quotas(written: str, tenant: str = "{namespaces: {matchLabels: {team: research}}}") -> str:
    return f"version: 1\n{H100}tenants: {{research: {tenant}}}\nbrokerQuotas:\n  {written}\n"


def test_what_a_broker_allows_a_tenant_stands_inside_the_entry_of_the_tenant() -> None:
    reading = read_policy([PolicyText("policy.yaml", quotas("research: {h100: {gpu: 8, cpu: 64}}"))])

    assert reading.policy is not None, reading.mistakes
    [scoped] = reading.policy.tenants["research"].entry.scoped
    assert (scoped.path, scoped.place, str(scoped.selector)) == (
        "brokerQuotas.research.h100",
        "policy.yaml:5",
        "NodeClass In (h100)",
    )
    assert scoped.hard == {"gpu": 8 * NANOS, "requests.cpu": 64 * NANOS}


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        (
            "reserch: {h100: {gpu: 8}}",
            "brokerQuotas.reserch: reserch has no entry under tenants, did you mean research?",
        ),
        ("research: {a100: {gpu: 8}}", "brokerQuotas.research.a100: a100 is not in nodeClasses, did you mean h100?"),
        ("research: {h100: {gpu: -8}}", "brokerQuotas.research.h100.gpu: -8 is negative"),
        ("research: {h100: {gpus: 8}}", "brokerQuotas.research.h100.gpus: unknown resource"),
    ],
)
def test_a_mistake_in_what_a_broker_allows_is_told(written: str, mistake: str) -> None:
    [found] = read_policy([PolicyText("policy.yaml", quotas(written))]).mistakes

    assert mistake in str(found)
    assert found.position.line == 5


def test_a_broker_does_not_limit_what_the_tenant_is_limited_in_already() -> None:
    tenant = (
        "{namespaces: {matchLabels: {team: research}}, scoped: [{scopeSelector: {matchExpressions: "
        "[{scopeName: NodeClass, operator: In, values: [h100]}]}, hard: {gpu: 4}}]}"
    )
    [found] = read_policy([PolicyText("policy.yaml", quotas("research: {h100: {gpu: 8}}", tenant))]).mistakes

    assert str(found) == (
        "policy.yaml:5:13: brokerQuotas.research.h100: tenants.research.scoped[0] at policy.yaml:3 limits gpu of the "
        "same already"
    )
    assert read_policy([PolicyText("policy.yaml", quotas("research: {h100: {cpu: 8}}", tenant))]).policy is not None


def test_how_much_of_a_class_may_be_used_and_promised_is_read_exactly() -> None:
    text = f"version: 1\n{H100.rstrip()[:-2]}, overcommit: {{cpu: 1.1, gpu: 1}}, committable: 80%}}}}\n"
    policy = read_policy([PolicyText("policy.yaml", text)]).policy

    assert policy is not None
    assert policy.terms_of("h100").overcommit == {"requests.cpu": Fraction(11, 10), "gpu": 1}
    assert policy.terms_of("h100").committable == Fraction(4, 5)
    for wrong in ("0", "-1", "101", "two", "1e1", "true", "1.1234567"):
        mistakes = read_policy([PolicyText("policy.yaml", text.replace("1.1", wrong))]).mistakes
        assert [each.path for each in mistakes] == ["nodeClasses.h100.overcommit.cpu"]
    for wrong in ("0%", "101%", "80", "0.8", "all"):
        mistakes = read_policy([PolicyText("policy.yaml", text.replace("80%", wrong))]).mistakes
        assert [each.path for each in mistakes] == ["nodeClasses.h100.committable"]
