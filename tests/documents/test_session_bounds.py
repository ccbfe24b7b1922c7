"""Bounds of sessions in a policy: what they mean, every mistake at its place, and where they have no effect."""

from __future__ import annotations

import pytest

from webhook.documents.policy_text import PolicyReading, PolicyText, read_policy
from webhook.quota.policy import Hard, Unlimited

MINUTE = 60 * 10**9


def read(*lines: str) -> PolicyReading:
    return read_policy([PolicyText("p", "\n".join(("version: 1", *lines)) + "\n")])


def mistakes(*lines: str) -> list[str]:
    return [str(each) for each in read(*lines).mistakes]


def notes(*lines: str) -> list[str]:
    reading = read(*lines)
    assert reading.policy is not None, reading.mistakes
    return [str(each) for each in reading.notes]


WRITTEN: dict[str, Hard] = {
    "8h": 480 * MINUTE,
    "1h30m": 90 * MINUTE,
    "'1.5h'": 90 * MINUTE,
    "3600": 60 * MINUTE,
    "unlimited": Unlimited.UNLIMITED,
}


@pytest.mark.parametrize(("written", "hard"), WRITTEN.items())
@pytest.mark.parametrize("name", ["duration", "idle"])
def test_a_time_is_a_duration_or_whole_seconds(name: str, written: str, hard: Hard) -> None:
    reading = read(f"defaults: {{user: {{perSession: {{{name}: {written}, cpu: 2}}}}}}")
    assert reading.policy is not None
    assert reading.policy.defaults.user is not None
    assert reading.policy.defaults.user.caps["perSession"][name] == hard


ODD = {
    "8": "",
    "8x": "p:2:42: defaults.user.perSession.duration: '8x' is no duration: expected one such as 8h or 1h30m",
    "'8'": "p:2:42: defaults.user.perSession.duration: '8' is no duration: expected one such as 8h or 1h30m",
    "-1": "p:2:42: defaults.user.perSession.duration: '-1' is no duration: it is negative",
    "1.5": "p:2:42: defaults.user.perSession.duration: '1.5' is no duration: expected one such as 8h or 1h30m",
    "0": ("p:2:42: defaults.user.perSession.duration: a session cannot last for 0: write sessions: 0 to forbid them"),
    "[8h]": (
        "p:2:42: defaults.user.perSession.duration: expected a duration such as 8h or 30m, whole seconds, or the word "
        '"unlimited"'
    ),
}


@pytest.mark.parametrize(("written", "told"), ODD.items())
def test_what_is_no_time_is_a_mistake_at_its_place(written: str, told: str) -> None:
    assert mistakes(f"defaults: {{user: {{perSession: {{duration: {written}}}}}}}") == ([told] if told else [])


@pytest.mark.parametrize("within", ["hard", "perPod", "perClaim"])
def test_a_time_bounds_sessions_only(within: str) -> None:
    told = mistakes(f"cluster: {{{within}: {{idle: 30m}}}}")
    assert told
    assert f"cluster.{within}.idle: only perSession bounds it" in told[0]


def test_a_preset_without_the_field_is_noted_once() -> None:
    told = notes(
        "sessions: {presets: [kubeflow-notebook, streamspace, dask, jupyterhub]}",
        "cluster: {perSession: {idle: 30m, duration: 8h}}",
        "namespaces: {red: {perSession: {idle: 10m}}}",
    )
    why = "the preset names no field that is read for it"
    assert sorted(told) == [
        f"p:3:45: cluster.perSession.duration: no effect on sessions of kubeflow-notebook, dask, jupyterhub: {why}",
        f"p:4:39: namespaces.red.perSession.idle: no effect on sessions of kubeflow-notebook, jupyterhub: {why}",
    ]


def test_a_preset_with_the_field_is_not_noted() -> None:
    assert notes("sessions: {presets: [streamspace]}", "cluster: {perSession: {idle: 30m, duration: 8h}}") == []


def test_without_a_preset_the_cap_is_noted_and_not_its_times() -> None:
    assert notes("cluster: {perSession: {idle: 30m}}") == [
        "p:2:23: cluster.perSession: nothing is a session without sessions.presets; the limit has no effect"
    ]


def test_a_minimum_is_an_amount() -> None:
    reading = read("cluster: {minPerPod: {cpu: 100m, gpu: 1/2}, minPerSession: {memory: 1Gi}}")
    assert reading.policy is not None
    assert reading.policy.cluster is not None
    assert reading.policy.cluster.caps == {
        "minPerPod": {"requests.cpu": 10**8, "gpu": 10**9 // 2},
        "minPerSession": {"requests.memory": 2**30 * 10**9},
    }
    assert reading.policy.judges_specs


ODD_MINIMUMS = {
    "{cpu: unlimited}": "cluster.minPerPod.cpu: 0 lifts a minimum",
    "{duration: 1h}": "cluster.minPerPod.duration: only perSession bounds it",
    "{cpu: -1}": 'cluster.minPerPod.cpu: -1 is negative; 0 forbids, "unlimited" lifts a limit',
}


@pytest.mark.parametrize(("written", "told"), ODD_MINIMUMS.items())
def test_what_is_no_minimum_is_a_mistake(written: str, told: str) -> None:
    assert told in mistakes(f"cluster: {{minPerPod: {written}}}")[0]


def test_a_minimum_of_what_a_pod_never_costs_is_noted() -> None:
    why = "nothing that perPod binds costs this; the limit has no effect, did you mean perClaim?"
    assert notes("cluster: {minPerPod: {storage: 1Gi}}") == [f"p:2:32: cluster.minPerPod.storage: {why}"]


def test_a_minimum_of_sessions_without_a_preset_is_noted() -> None:
    assert notes("cluster: {minPerSession: {cpu: 1}}") == [
        "p:2:26: cluster.minPerSession: nothing is a session without sessions.presets; the limit has no effect"
    ]


@pytest.mark.parametrize(("of_group", "is_noted"), [("2", True), ("1", False), ("500m", False)])
def test_a_login_without_the_group_lifts_its_larger_minimum(of_group: str, *, is_noted: bool) -> None:
    told = notes(
        "defaults: {user: {minPerPod: {cpu: 1}}}", f"groups: {{ml: {{perMember: {{minPerPod: {{cpu: {of_group}}}}}}}}}"
    )
    assert bool(told) is is_noted


def test_categories_are_read_by_small_letters_and_full_names() -> None:
    reading = read("sessions: {categories: {GPU-Large: {cpu: 8, limits.memory: 32Gi}, default: {}}}")
    assert reading.policy is not None
    large, default = (reading.policy.categories[name] for name in ("gpu-large", "default"))
    assert {name: str(amount) for name, amount in large.items()} == {"requests.cpu": "8", "limits.memory": "32Gi"}
    assert default == {}


ODD_CATEGORIES = {
    "{a: {gpu: 1}}": "p:2:29: sessions.categories.a.gpu: unknown request or limit, did you mean cpu?",
    "{a: {requests.cpu: 1}}": "p:2:29: sessions.categories.a[requests.cpu]: write cpu",
    "{a: {cpu: 0}}": "p:2:34: sessions.categories.a.cpu: a default of 0 declares nothing: leave it out",
    "{a: {cpu: 0m}}": "p:2:34: sessions.categories.a.cpu: a default of 0 declares nothing: leave it out",
    "{a: {cpu: -1}}": "p:2:34: sessions.categories.a.cpu: -1 is negative",
    "{a: {cpu: false}}": "p:2:34: sessions.categories.a.cpu: expected an amount such as 100m or 256Mi",
    "{a: {memory: 1m}}": "p:2:37: sessions.categories.a.memory: 1m is no whole number of bytes: write it as in 256Mi",
    "{a: {cpu: 1}, A: {cpu: 2}}": "p:2:38: sessions.categories.A: already defined at p:2",
}


@pytest.mark.parametrize(("written", "told"), ODD_CATEGORIES.items())
def test_a_mistake_in_a_category_is_told_at_its_place(written: str, told: str) -> None:
    assert mistakes(f"sessions: {{categories: {written}}}") == [told]


NOTES = {
    "{categories: {a: {cpu: 1}}}": ["nothing is a session without sessions.presets; no category has an effect"],
    "{presets: [streamspace], categories: {a: {cpu: 1}}}": [
        "no effect on sessions of streamspace: the preset names no category, and none is called default"
    ],
    "{presets: [streamspace], categories: {Default: {cpu: 1}}}": [],
    "{presets: [{preset: streamspace, category: [{field: spec.template}]}], categories: {a: {cpu: 1}}}": [],
    "{presets: [rayservice], categories: {default: {cpu: 1}}}": [
        "no effect on sessions of rayservice: their pods do not carry the name of their session"
    ],
}


@pytest.mark.parametrize(("sessions", "told"), NOTES.items())
def test_a_category_without_effect_is_noted(sessions: str, told: list[str]) -> None:
    assert [each.partition(": sessions.categories: ")[2] for each in notes(f"sessions: {sessions}")] == told
