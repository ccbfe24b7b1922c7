"""Overlays of kustomize on manifests/, as administrators write them, and the kinds that they need."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from localcluster.controlplane import ControlPlane

MANIFESTS = Path(__file__).parents[1] / "manifests"


class Overlay:
    """A kustomization in *folder* on top of the manifests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, *, components: Sequence[str] = (), namespace: str = "", **others: Any) -> None:
        """Write it with *components*, for another *namespace* as README.md says, and with *others* of its fields."""
        base = os.path.relpath(MANIFESTS, self.folder)
        moved = {"namespace": namespace, "transformers": [f"{base}/transformers/namespace"]} if namespace else {}
        text = {"resources": [base], "components": [f"{base}/components/{each}" for each in components], **moved}
        (self.folder / "kustomization.yaml").write_text(yaml.safe_dump({**text, **others}))

    def rendered(self, control_plane: ControlPlane) -> str:
        return control_plane.kubectl("kustomize", str(self.folder)).stdout


@contextmanager
def cert_manager_kinds(control_plane: ControlPlane) -> Iterator[None]:
    """Have Certificates and Issuers, with those fields of cert-manager's definitions that ours need, and no others."""
    text: Mapping[str, Any] = {"type": "string"}
    issuer_ref = _fields(name=text, kind=text, group=text)
    key = _fields(algorithm=text, size={"type": "integer"}, rotationPolicy=text)
    texts = {"type": "array", "items": text}
    certificate = _fields(
        secretName=text,
        isCA={"type": "boolean"},
        commonName=text,
        duration=text,
        dnsNames=texts,
        usages=texts,
        privateKey=key,
        issuerRef=issuer_ref,
    )
    issuer = _fields(selfSigned={"type": "object"}, ca=_fields(secretName=text))
    kinds = [_definition("Certificate", certificate), _definition("Issuer", issuer)]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": kinds})
    control_plane.kubectl("apply", "--filename=-", stdin=listed)
    names = [f"crd/{each['metadata']['name']}" for each in kinds]
    control_plane.kubectl("wait", "--for=condition=Established", *names, "--timeout=30s")
    try:
        yield
    finally:
        control_plane.kubectl("delete", "--filename=-", "--wait=true", stdin=listed)


def _fields(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _definition(kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _fields(spec=spec)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.cert-manager.io"},
        "spec": {
            "group": "cert-manager.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }
