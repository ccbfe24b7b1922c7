"""The JSON Schema of a policy takes every valid policy that there is, and refuses the usual mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.documents.json_schema import refused
from webhook.documents import preset_files, tree, yaml_text
from webhook.documents.policy_json_schema import policy_json_schema
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota import resources

ROOT = Path(__file__).parent.parent.parent
SCHEMA = policy_json_schema()


def policies() -> dict[str, str]:
    """Return every policy of the documents, the manifests and the examples."""
    found = {"examples/policy.yaml": (ROOT / "examples/policy.yaml").read_text()}
    (config_map,), _ = yaml_text.read_documents((ROOT / "manifests/policy.yaml").read_text(), source="manifests")
    body: Any = tree.plain(config_map)
    found |= {f"manifests {key}": text for key, text in body["data"].items()}
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        blocks = re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
        found |= {f"{path.name} {number}": text for number, text in enumerate(blocks) if "version: 1\n" in text}
    for name in preset_files.names():
        inside = "\n".join(f"      {line}" for line in preset_files.text(name).splitlines())
        found[f"preset {name}"] = f"version: 1\nsessions:\n  presets:\n    -\n{inside}\n"
    return found


POLICIES = policies()


def verdict(text: str) -> list[str]:
    """Return what the schema refuses in a policy of one document."""
    (root,), mistakes = yaml_text.read_documents(text, source="p.yaml")
    assert mistakes == ()
    return list(refused(SCHEMA, tree.plain(root)))


@pytest.mark.parametrize("text", POLICIES.values(), ids=POLICIES)
def test_a_valid_policy_is_taken(text: str) -> None:
    assert read_policy([PolicyText("p.yaml", text)]).mistakes == ()
    assert verdict(text) == []


def test_the_documents_have_many() -> None:
    assert len(POLICIES) > 35


UNITS = """
nodeClasses: {h100: {nodes: {matchLabels: {a: b}}, unit: {cpu: 8, memory: 480Gi, gpu: 1/2}}}
cluster:
  scoped:
    - {scopeSelector: {matchExpressions: [{scopeName: NodeClass, operator: In, values: [h100]}]}, units: unlimited}
commitments: {c-1: {user: alice, nodeClass: h100, units: 3}}
"""
VALID = (
    "users: {alice: {hard: {cpu: 0.5, memory: 8Gi, gpu: 2+3/7, count/pods: 1e3, example.com/x: unlimited}}}",
    "users: {alice: {hard: {cpu: .5, hugepages-2Mi: 4Mi, requests.hugepages-1Gi: 1, limits.cpu: '+1'}}}",
    "users: {alice: {workloads: off, mode: audit, until: '2027-01-31 00:00:00+01:00'}}",
    "users: {alice: {until: 2027-01-31T00:00:00Z}}",
    "tiers: {pro: {hard: {cpu: 4}, perPod: {cpu: 1}}}\nusers: {alice: {tier: pro}}",
    "cluster: {windows: [{days: [mon-fri, sun], from: '20:00', to: '06:00', zone: Europe/Berlin, hard: {gpu: 8}}]}",
    "cluster: {windows: [{from: 20:00, to: 06:00, zone: UTC, hard: {gpu: 1/7}}]}",
    "cluster: null",
    "combine: max\nterminating: hold\nserviceAccountLimits: perAccount",
    "groups: {ml: {membership: live, members: [bob], perMember: {perPod: {cpu: 1}}, pool: {hard: {gpu: 8}}}}",
    "resources: {gpu: {nvidia.com/mig-*.shared: 0.125, deviceclass/x: 1/7, example.com/y: 0}}",
    "resources: {gpu: {displayName: Cards, unit: GPUs, default: 1/7, example.com/y: 0}, cpu: {default: 0.5}}",
    "resources: {example.com/vram: {format: binary, default: unlimited}, count/services: {description: Services}}",
    "missing: {cpu: require, memory: {default: 256Mi}, limits.cpu: {default: 1.5}}",
    "sessions: {count: running, presets: [raycluster, {preset: raycluster, name: other}]}",
    "exempt: [{group: 'system:masters', reason: they mend}]",
    f"tags: [example.com/team, Z_9.a, {'a' * 253}/{'b' * 63}, '7', a, b, c, d]",
    "tags: []",
    "nodeClasses: {'*': {mode: warn, commitments: false}, h100: {nodes: {matchLabels: {a: b}}, commitments: true}}",
    UNITS,
)


@pytest.mark.parametrize("text", VALID)
def test_any_way_to_write_it_is_taken(text: str) -> None:
    document = f"version: 1\n{text}\n"
    assert read_policy([PolicyText("p.yaml", document)]).mistakes == ()
    assert verdict(document) == []


MISTAKES = {
    "no version": ("users: {}", ".version: required"),
    "another version": ("version: 2", ".version: const"),
    "a field that is not there": ("version: 1\nusres: {}", ".usres: unknown"),
    "in an entry": ("version: 1\nusers: {a: {hrad: {}}}", ".users.a.hrad: unknown"),
    "an amount with a wrong suffix": ("version: 1\nusers: {a: {hard: {cpu: 1K}}}", ".users.a.hard.cpu: anyOf"),
    "a negative amount": ("version: 1\nusers: {a: {hard: {cpu: -1}}}", ".users.a.hard.cpu: anyOf"),
    "a fraction of a core": ("version: 1\nusers: {a: {hard: {cpu: 1/2}}}", ".users.a.hard.cpu: anyOf"),
    "an unknown resource": ("version: 1\nusers: {a: {hard: {cpus: 1}}}", ".users.a.hard.cpus: anyOf of a name"),
    "too many tags": ("version: 1\ntags: [a, b, c, d, e, f, g, h, i]", ".tags: anyOf"),
    "a tag that is no key of a label": ("version: 1\ntags: [a/b/c]", ".tags: anyOf"),
    "an unknown word": ("version: 1\ncombine: least", ".combine: anyOf"),
    "an unknown mode": ("version: 1\nusers: {a: {mode: of}}", ".users.a.mode: enum"),
    "a time without a zone": ("version: 1\nusers: {a: {until: 2027-01-31T00:00:00}}", ".users.a.until: anyOf"),
    "an account without a namespace": (
        "version: 1\nserviceAccounts: {robot: {}}",
        ".serviceAccounts.robot: pattern of a name",
    ),
    "a tenant of all namespaces": (
        "version: 1\ntenants: {t: {namespaces: {matchLabels: {}}}}",
        ".tenants.t.namespaces.matchLabels: too few",
    ),
    "a tenant of no namespaces": ("version: 1\ntenants: {t: {}}", ".tenants.t.namespaces: required"),
    "an unknown scope": (
        "version: 1\nusers: {a: {scoped: [{scopes: [Best], hard: {pods: 1}}]}}",
        ".users.a.scoped[0].scopes[0]: enum",
    ),
    "a selector of nothing": (
        "version: 1\nusers: {a: {scoped: [{scopeSelector: {matchExpressions: []}}]}}",
        ".users.a.scoped[0].scopeSelector: anyOf",
    ),
    "an unknown resource of the catalogue": ("version: 1\nresources: {cpus: {}}", ".resources: anyOf"),
    "a default for what has none": ("version: 1\nmissing: {pods: ignore}", ".missing.pods: enum of a name"),
    "a class of nodes with a capital": (
        "version: 1\nnodeClasses: {H: {nodes: {matchLabels: {a: b}}}}",
        ".nodeClasses: anyOf",
    ),
    "a preset that is not shipped": ("version: 1\nsessions: {presets: [ray]}", ".sessions: anyOf"),
    "a mark with two stars": (
        "version: 1\nattribution: {delegates: [{user: a, owner: [{label: x, pattern: '**'}]}]}",
        ".attribution: anyOf",
    ),
}


@pytest.mark.parametrize(("text", "where"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_where_it_is(text: str, where: str) -> None:
    assert read_policy([PolicyText("p.yaml", f"{text}\n")]).mistakes
    assert verdict(f"{text}\n") == [where]


def test_a_name_of_a_resource_that_the_reader_takes_is_taken() -> None:
    names = (*resources.known_names(), "count/services", "gold.storageclass.storage.k8s.io/requests.storage")
    names += ("requests.nvidia.com/gpu", "nvidia.com/gpu", "big.deviceclass.resource.k8s.io/devices", "hugepages-1Gi")
    assert [name for name in names if resources.canonical_name(name) is None] == []
    assert list(refused(SCHEMA["definitions"]["HardList"], dict.fromkeys(names, 1))) == []


def test_the_copy_in_the_documents_is_this_one() -> None:
    """Made by `userquota policy schema > docs/policy.schema.json`."""
    assert json.loads((ROOT / "docs/policy.schema.json").read_text()) == SCHEMA


def test_every_reference_leads_to_a_definition_and_every_definition_is_needed() -> None:
    text = json.dumps(SCHEMA)
    referred = set(re.findall(r'"#/definitions/(\w+)"', text))
    assert referred == SCHEMA["definitions"].keys()


def fields(schema: Any) -> dict[str, Any]:
    """Return the form of each field and of each known resource, by its definition and name."""
    parts = {"": schema, **schema["definitions"]}
    return {f"{part}.{name}": form for part, each in parts.items() for name, form in each.get("properties", {}).items()}


def test_every_field_is_described_in_a_sentence() -> None:
    told = {name: form.get("description", "") for name, form in fields(SCHEMA).items()}
    assert [name for name, text in told.items() if not text.endswith(".") or "](" in text or "|" in text] == []
    assert len(told) > 120


def test_an_alternative_of_a_field_is_described_as_the_field_or_not_at_all() -> None:
    """Editors show the description that is innermost."""
    alternatives = [(form, each) for form in fields(SCHEMA).values() for each in form.get("anyOf", ())]
    assert [
        each for form, each in alternatives if each.get("description", form["description"]) != form["description"]
    ] == []
    assert [each for _, each in alternatives if "$ref" in each and "description" not in each] == []
