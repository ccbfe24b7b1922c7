"""What is told of a policy that is valid and surely not meant, and that nothing is told of one that makes sense."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from webhook.documents.policy_notes import Facts, policy_notes
from webhook.documents.policy_text import PolicyText, read_policy

ROOT = Path(__file__).parent.parent.parent
TODAY = Facts(datetime(2026, 6, 1, tzinfo=UTC))


def notes(text: str, known: Facts = TODAY) -> list[str]:
    """Return the notes on a policy without their source."""
    reading = read_policy([PolicyText("p", f"version: 1\n{text}\n")])
    assert reading.policy is not None, reading.mistakes
    return [str(each).removeprefix("p:") for each in policy_notes(reading, known)]


def messages(text: str, known: Facts = TODAY) -> list[str]:
    return [each.partition(": ")[2].partition(": ")[2] for each in notes(text, known)]


def of_limit(limit: str, *, within: str = "hard") -> list[str]:
    return messages(f"cluster: {{{within}: {{{limit}}}}}")


ODD_AMOUNTS = {
    "memory: 500m": "500m is less than one byte, did you mean 500M?",
    "memory: 1500m": "1500m is 1.5 bytes, did you mean 1500M?",
    "memory: 8": "8 is 8 bytes, did you mean 8Gi?",
    "memory: 0.5": "0.5 is less than one byte, did you mean 0.5Gi?",
    "memory: 1": "1 is 1 byte, did you mean 1Gi?",
    "limits.memory: 4096": "4096 is 4096 bytes, did you mean 4096Mi?",
    "memory: 1e3": "1e3 is 1000 bytes",
    "memory: 0.0001Ki": "0.0001Ki is less than one byte",
    "storage: 500": "500 is 500 bytes, did you mean 500Gi?",
    "ephemeral-storage: 100m": "100m is less than one byte, did you mean 100M?",
    "gold.storageclass.storage.k8s.io/requests.storage: 10": "10 is 10 bytes, did you mean 10Gi?",
    "hugepages-2Mi: 8": "8 is less than one page of 2Mi, did you mean 16Mi, 8 pages?",
    "hugepages-1Gi: 512Mi": "512Mi is less than one page of 1Gi",
    "cpu: 4Gi": "4Gi is 4294967296 cores, did you mean 4?",
    "cpu: 500Mi": "500Mi is 524288000 cores, did you mean 500m?",
    "limits.cpu: 4G": "4G is 4000000000 cores, did you mean 4?",
    "cpu: 500u": "500u is less than 1m, the least that a container can ask for",
    "pods: 1.5": "1.5 is as good as 1: only whole ones are counted",
    "pods: 500m": "500m is as good as 0, which forbids: only whole ones are counted, did you mean 500?",
    "count/services: 2500m": "2500m is as good as 2: only whole ones are counted, did you mean 2500?",
    "persistentvolumeclaims: 0.5": "0.5 is as good as 0, which forbids: only whole ones are counted",
    "nvidia.com/gpu: 1.5": "1.5 is as good as 1: only whole ones are counted",
    "example.com/fpga: 500m": "500m is as good as 0, which forbids: only whole ones are counted, did you mean 500?",
    "pods: 10Gi": "10Gi is 10737418240, did you mean 10?",
    "nvidia.com/gpu: 4Gi": "4Gi is 4294967296, did you mean 4?",
    "gpu: 4G": "4G is 4000000000, did you mean 4?",
}


@pytest.mark.parametrize(("limit", "message"), ODD_AMOUNTS.items())
def test_an_amount_that_can_hardly_be_meant_is_noted(limit: str, message: str) -> None:
    assert of_limit(limit) == [message]


@pytest.mark.parametrize(
    "limit",
    [
        "memory: 8Gi",
        "memory: 0",
        "memory: unlimited",
        "memory: 1.3Gi",
        "memory: 512Ki",
        "memory: 134217728",
        "memory: 1825361100800m",
        "memory: 1e9",
        "storage: 1Ki",
        "hugepages-2Mi: 8Mi",
        "cpu: 4",
        "cpu: 4000",
        "cpu: 1k",
        "cpu: 500m",
        "cpu: 1m",
        "cpu: 1000000",
        "pods: 10k",
        "pods: 10Ki",
        "count/events: 1M",
        "gpu: 1.5",
        "gpu: 1/7",
        "accelerator: 500m",
        "gpu.intel.com/memory.max: 8Gi",
        "sgx.intel.com/epc: 512Mi",
    ],
)
def test_an_amount_that_may_be_meant_is_not_noted(limit: str) -> None:
    assert of_limit(limit) == []


@pytest.mark.parametrize(
    ("resource", "amount", "message"),
    [
        ("memory", "256", "256 is 256 bytes, did you mean 256Gi?"),
        ("cpu", "4Gi", "4Gi is 4294967296 cores, did you mean 4?"),
        ("limits.cpu", "4000", "4000 is 4000 cores, more than any node has, did you mean 4000m?"),
        ("memory", "256Mi", None),
        ("cpu", "100m", None),
    ],
)
def test_an_amount_that_containers_get_is_noted_as_a_limit_is(resource: str, amount: str, message: str | None) -> None:
    noted = [] if message is None else [message]
    assert messages(f"missing: {{{resource}: {{default: {amount}}}}}") == noted
    category = f"sessions: {{categories: {{default: {{{resource}: {amount}}}}}, presets: [jupyterhub]}}"
    assert messages(category) == noted


@pytest.mark.parametrize(
    ("limit", "noted"),
    [
        ("duration: 8", ["8 is 8 seconds, did you mean 8h?"]),
        ("idle: 30", ["30 is 30 seconds, did you mean 30m?"]),
        ("duration: 8s", []),
        ("duration: 3600", []),
        ("idle: unlimited", []),
    ],
)
def test_a_time_in_seconds_that_can_hardly_be_meant_is_noted(limit: str, noted: list[str]) -> None:
    assert messages(f"defaults: {{user: {{perSession: {{{limit}}}}}}}\nsessions: {{presets: [streamspace]}}") == noted


def test_what_no_machine_has_is_noted_in_the_cap_on_a_pod() -> None:
    message = "4000 is 4000 cores, more than any node has, did you mean 4000m?"
    assert of_limit("cpu: 4000", within="perPod") == [message]
    assert of_limit("cpu: 512", within="perPod") == []


@pytest.mark.parametrize(
    ("within", "limit", "message"),
    [
        (
            "perPod",
            "storage: 5Gi",
            "nothing that perPod binds costs this; the limit has no effect, did you mean perClaim?",
        ),
        ("perClaim", "cpu: 1", "nothing that perClaim binds costs this; the limit has no effect, did you mean perPod?"),
        ("perClaim", "gpu: 1", None),
        ("perClaim", "sessions: 1", None),
        ("perPod", "count/services: 1", "nothing that perPod binds costs this; the limit has no effect"),
        ("perPod", "gpu: 1", None),
        ("perPod", "limits.memory: 1Gi", None),
        ("perClaim", "storage: 5Gi", None),
        ("perClaim", "gold.storageclass.storage.k8s.io/requests.storage: 5Gi", None),
    ],
)
def test_a_cap_on_what_its_objects_never_cost_is_noted(within: str, limit: str, message: str | None) -> None:
    found = [each for each in of_limit(limit, within=within) if not each.startswith("nothing is a session")]
    assert found == ([] if message is None else [message])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("deployments", "the core API has no such kind, did you mean count/deployments.apps?"),
        ("secret", "the core API has no such kind, did you mean count/secrets?"),
        ("ingress", "the core API has no such kind, did you mean count/ingresses.networking.k8s.io?"),
        ("networkpolicy", "the core API has no such kind, did you mean count/networkpolicies.networking.k8s.io?"),
        ("widgets", "the core API has no such kind; write the plural with its group, as in widgets.example.com"),
        ("deployment.apps", "apps has no such kind, did you mean count/deployments.apps?"),
        ("nodes", "nodes are in no namespace; the limit has no effect"),
        ("services", None),
        ("events", None),
        ("jobs.batch", None),
        ("controllerrevisions.apps", None),
        ("widgets.example.com", None),
        ("services.serving.knative.dev", None),
        ("jobs.batch.volcano.sh", None),
    ],
)
def test_a_count_of_what_kubernetes_does_not_have_is_noted(kind: str, message: str | None) -> None:
    assert of_limit(f"count/{kind}: 1") == ([] if message is None else [message])


WEIGHED = "resources: {gpu: {example.com/quantum: 1, example.com/red-a: 1}}\n"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nvidai.com/gpu", "nvidia.com/gpu"),
        ("requests.nvidai.com/gpu", "nvidia.com/gpu"),
        ("nvida.com/gpu", "nvidia.com/gpu"),
        ("nvidia.co/gpu", "nvidia.com/gpu"),
        ("nvidai.com/mig-1g.5gb", "nvidia.com/mig-1g.5gb"),
        ("nvidia.com/gpus", "nvidia.com/gpu"),
        ("nvidia.com/GPU", "nvidia.com/gpu"),
        ("amd.com/gup", "amd.com/gpu"),
        ("adm.com/gpu", "amd.com/gpu"),
        ("huawei.com/ascend910", "huawei.com/Ascend910"),
        ("vpc.amazonaws.com/eaf", "vpc.amazonaws.com/efa"),
        ("exmaple.com/quantum", "example.com/quantum"),
        ("example.com/quantun", None),
        ("example.com/qauntum", "example.com/quantum"),
        ("example.com/red-b", None),
        ("nvidia.com/gpu", None),
        ("nvidia.com/gpu.shared", None),
        ("nvidia.com/pgpu", None),
        ("nvidia.com/gpux", None),
        ("nvidia.com/mig-3g.20gb", None),
        ("huawei.com/Ascend310P3", None),
        ("adm.com/fpga", None),
        ("acme.com/gpu", None),
        ("rdma/hca_shared_devices_a", None),
        ("deviceclass.resource.kubernetes.io/gpu.nvidai.com", None),
    ],
)
def test_a_misspelt_device_is_noted(name: str, meant: str | None) -> None:
    expected = [] if meant is None else [f"no known device, did you mean {meant}?"]
    assert messages(f"{WEIGHED}users: {{alice: {{hard: {{{name}: 1}}}}}}") == expected


def test_a_misspelt_device_that_is_weighed_is_noted_where_that_is_said() -> None:
    text = "resources: {gpu: {nvidai.com/gpu: 1/4, example.com/gpu: 1}}\ncluster: {hard: {nvidia.com/gpu: 1}}"
    assert notes(text) == ["2:19: resources.gpu[nvidai.com/gpu]: no known device, did you mean nvidia.com/gpu?"]


def test_devices_that_the_cluster_uses_are_known() -> None:
    text = "cluster: {hard: {acme.com/gpus: 1, acme.com/fpga: 1}}"
    noted = ["2:18: cluster.hard[acme.com/gpus]: no known device, did you mean acme.com/gpu?"]
    assert notes(text) == []
    assert notes(text, Facts(devices=frozenset({"acme.com/gpu"}))) == noted
    assert notes(text, Facts(devices=frozenset({"acme.com/gpu", "acme.com/gpus"}))) == []
    twice = "cluster: {hard: {nvidai.com/gpu: 1}}"
    assert len(notes(twice, Facts(devices=frozenset({"nvidia.com/gpu"})))) == 1


ENDED = """\
users:
  alice: {hard: {cpu: 1}, until: 2026-06-01T00:00:00Z}
  bob: {hard: {cpu: 1}, until: 2026-06-01T00:00:01Z}
  carol: {scoped: [{scopes: [BestEffort], hard: {pods: 1}, until: 2026-05-01T00:00:00+02:00}]}
cluster: {hard: {pods: 100}, until: 2025-01-01T00:00:00Z}
exempt: [{user: dave, reason: x, until: 2026-01-01T00:00:00Z}, {user: eve, reason: x, until: 2027-01-01T00:00:00Z}]
"""


def test_what_has_ended_is_noted_where_the_time_is_known() -> None:
    assert notes(ENDED) == [
        "3:34: users.alice.until: ended at 2026-06-01T00:00:00Z: it binds nobody any more",
        "5:67: users.carol.scoped[0].until: ended at 2026-05-01T00:00:00+02:00: it binds nobody any more",
        "6:37: cluster.until: ended at 2025-01-01T00:00:00Z: it binds nobody any more",
        "7:41: exempt[0].until: ended at 2026-01-01T00:00:00Z: it exempts nothing any more",
    ]
    assert notes(ENDED, Facts()) == []


def exempt(by: str, entries: str, more: str = "") -> list[str]:
    return notes(f"exempt: [{{{by}, reason: why{more}}}]\n{entries}")


@pytest.mark.parametrize(
    ("by", "entries", "place"),
    [
        ("user: alice", "users: {alice: {hard: {cpu: 1}}}", "3:16: users.alice"),
        ("user: alice", "users: {alice: {scoped: [{scopes: [BestEffort], hard: {pods: 1}}]}}", "3:16: users.alice"),
        ("serviceAccount: ci/bot", "serviceAccounts: {ci/bot: {perPod: {cpu: 1}}}", "3:27: serviceAccounts[ci/bot]"),
        ("namespace: kube-lab", "namespaces: {kube-lab: {hard: {cpu: 1}}}", "3:24: namespaces.kube-lab"),
        ("group: ml", "groups: {ml: {pool: {hard: {gpu: 1}}, perMember: {}}}", "3:14: groups.ml"),
    ],
)
def test_an_entry_of_whom_is_exempt_is_noted(by: str, entries: str, place: str) -> None:
    name = by.replace(":", "")
    told = [each for each in exempt(by, entries) if "a login without" not in each]
    assert told == [f"{place}: {name} is exempt (why): this refuses nothing"]


@pytest.mark.parametrize(
    ("by", "entries"),
    [
        ("user: alice", "users: {bob: {hard: {cpu: 1}}}"),
        ("user: alice", "users: {alice: {}}"),
        ("user: alice", "users: {alice: {hard: {cpu: 1}, mode: warn}}"),
        ("group: ml", "groups: {ml: {pool: {hard: {gpu: 1}}, members: [bob]}}"),
        ("group: ml", "groups: {ml: {pool: {hard: {gpu: 1}}}}\nattribution: {groupObjects: openshift}"),
        ("priorityClass: high", "users: {high: {hard: {cpu: 1}}}"),
    ],
)
def test_an_entry_that_binds_somebody_is_not_noted(by: str, entries: str) -> None:
    assert exempt(by, entries) == []


def test_an_exemption_that_ends_leaves_its_entry_a_use() -> None:
    assert exempt("user: alice", "users: {alice: {hard: {cpu: 1}}}", ", until: 2027-01-01T00:00:00Z") == []


def test_an_end_beside_an_exemption_without_one_is_noted() -> None:
    text = "exempt: [{user: a, reason: x}, {user: a, reason: z, until: 2027-01-01T00:00:00Z}]"
    assert notes(text) == ["2:32: exempt[1]: user a is also exempt without an end, so that until has no effect"]


def test_an_entry_of_a_namespace_that_the_webhooks_leave_out_is_noted_where_they_are_known() -> None:
    text = (
        "namespaces:\n  kube-system: {hard: {pods: 1}}\n  red: {hard: {pods: 1}}\n  kube-node-lease: {}\n"
        "serviceAccounts: {kube-system/x: {hard: {pods: 1}}}"
    )
    why = "the webhooks leave namespace kube-system out, and nothing in it is counted: this refuses nothing"
    exempt = frozenset({"kube-system", "kube-node-lease", "blue"})
    assert notes(text, Facts(exempt=exempt)) == [f"3:16: namespaces.kube-system: {why}"]
    assert notes(text, Facts()) == []


@pytest.mark.parametrize("combine", ["", "combine: most-restrictive\n", "combine: max\n", "combine: sum\n"])
def test_a_cap_that_says_unlimited_lifts_nothing_unless_caps_combine(combine: str) -> None:
    entry = "{hard: {cpu: unlimited}, perPod: {gpu: unlimited}}"
    found = messages(f"{combine}groups: {{ml: {{perMember: {entry}, pool: {entry[:-26]}}}}}}}")
    why = "unlimited lifts nothing here: with combine most-restrictive a cap only lowers; combine: max would lift"
    assert found == ([] if "max" in combine or "sum" in combine else [why, why])


def test_unlimited_elsewhere_is_not_noted() -> None:
    entry = "{hard: {cpu: unlimited}}"
    assert (
        notes(
            f"users: {{alice: {entry}}}\ncluster: {entry}\ntenants: {{perMember: {{namespaces: {{matchLabels: "
            f"{{a: b}}}}, hard: {{cpu: unlimited}}}}}}"
        )
        == []
    )


TENANT = "tenants: {research: {namespaces: {matchLabels: {a: b}}, hard: {gpu: 16}, guaranteed: "
OF_ALICE = f"{TENANT}[{{user: alice, hard: {{gpu: 8}}}}]}}}}\n"
OF_TWO = f"{TENANT}[{{user: a, hard: {{gpu: 8}}}}, {{user: b, hard: {{gpu: 7}}}}]}}}}\n"
OF_EXAMS = f"{TENANT}[{{namespace: exams, hard: {{gpu: 8}}}}]}}}}\n"
OF_BOB = "groups: {ml: {members: [bob], pool: {hard: {gpu: 9}, guaranteed: [{user: bob, hard: {gpu: 8}}]}}}\n"
ABOVE = {
    f"{OF_ALICE}cluster: {{hard: {{gpu: 2}}}}": "the parts come to gpu 8, more than the limit of 2 by cluster",
    f"{OF_TWO}cluster: {{hard: {{gpu: 14}}}}": "the parts come to gpu 15, more than the limit of 14 by cluster",
    f"{OF_BOB}cluster: {{hard: {{gpu: 2}}}}": "the parts come to gpu 8, more than the limit of 2 by cluster",
    f"{OF_ALICE}users: {{alice: {{tier: pro}}}}\ntiers: {{pro: {{hard: {{gpu: 4}}}}}}": (
        "user/alice: gpu 8, more than the limit of 4 by users.alice"
    ),
    f"{OF_EXAMS}namespaces: {{exams: {{hard: {{gpu: 4}}}}}}": (
        "namespace/exams: gpu 8, more than the limit of 4 by namespaces.exams"
    ),
}


@pytest.mark.parametrize(("text", "why"), ABOVE.items())
def test_a_guarantee_above_a_limit_around_it_or_of_its_holder_is_noted(text: str, why: str) -> None:
    path = "2:14: groups.ml.pool" if text.startswith(OF_BOB) else "2:21: tenants.research"
    assert notes(text) == [f"{path}.guaranteed: {why} at p:3, so that nobody can have all of it"]


@pytest.mark.parametrize(
    "cluster",
    [
        "{hard: {gpu: 8}}",
        "{hard: {cpu: 2}}",
        "{hard: {gpu: unlimited}}",
        "{hard: {gpu: 2}, mode: warn}",
        "{hard: {gpu: 2}, until: 2027-01-01T00:00:00Z}",
        '{hard: {gpu: 2}, windows: [{days: [sat], from: "00:00", to: "00:00", zone: Europe/Berlin, hard: {gpu: 9}}]}',
    ],
)
def test_a_guarantee_that_can_be_had_at_some_time_is_not_noted(cluster: str) -> None:
    assert notes(f"{OF_ALICE}cluster: {cluster}") == []


SENSIBLE = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "examples").glob("*.yaml")]


def test_no_policy_of_the_documents_and_examples_is_noted() -> None:
    blocks = [
        (path.name, text)
        for path in SENSIBLE
        for text in (
            re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
            if path.suffix == ".md"
            else [path.read_text()]
        )
    ]
    readings = [read_policy([PolicyText(name, text)]) for name, text in blocks if text.find("version: 1") >= 0]
    assert [str(note) for each in readings for note in policy_notes(each, TODAY)] == []
    assert sum(each.policy is not None for each in readings) > 15
