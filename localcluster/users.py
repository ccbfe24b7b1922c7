"""
The users of a local control plane, and their rights.

Their quotas are policy, which is not known here.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ADMIN = "admin"
CONTROLLER_MANAGER = "system:kube-controller-manager"
PEOPLE_GROUP = "people"

_EDIT_ROLE = "userquota-test-edit"
_READ = ["get", "list", "watch"]
_WRITE = [*_READ, "create", "update", "patch", "delete"]


@dataclass(frozen=True, slots=True)
class User:
    """A user with a token."""

    name: str
    groups: tuple[str, ...] = ()


SYSTEM_USERS = (User(ADMIN, ("system:masters",)), User(CONTROLLER_MANAGER))

# PEOPLE_GROUP has the rights, so that the other groups matter to the policy alone.
PEOPLE = (
    User("alice", ("ml", "staff", PEOPLE_GROUP)),
    User("bob", ("ml", PEOPLE_GROUP)),
    User("carol", ("staff", PEOPLE_GROUP)),
    User("dave", (PEOPLE_GROUP,)),
    User("erin", (PEOPLE_GROUP,)),
)


def new_tokens(users: Iterable[User]) -> dict[str, str]:
    """Return a new secret for each user, by name: every program on the machine can reach the port."""
    return {user.name: secrets.token_urlsafe(24) for user in users}


def token_file(users: Iterable[User], tokens: Mapping[str, str]) -> str:
    """Return the text of kube-apiserver's ``--token-auth-file``: token, name, uid, groups in quotes."""
    return "".join(f'{tokens[user.name]},{user.name},{user.name}-uid,"{",".join(user.groups)}"\n' for user in users)


def permissions() -> str:
    """
    Return the objects, as JSON, that let the group ``people`` work in every namespace.

    The built-in role ``edit`` is empty without a controller manager, and never grants ``pods/resize``.
    """
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _EDIT_ROLE},
        "rules": [
            {
                "apiGroups": [""],
                "resources": [
                    "pods",
                    "pods/resize",
                    "replicationcontrollers",
                    "replicationcontrollers/scale",
                    "persistentvolumeclaims",
                    "configmaps",
                    "services",
                    "events",
                ],
                "verbs": _WRITE,
            },
            {
                "apiGroups": ["apps"],
                "resources": [
                    "deployments",
                    "deployments/scale",
                    "replicasets",
                    "replicasets/scale",
                    "statefulsets",
                    "statefulsets/scale",
                    "daemonsets",
                ],
                "verbs": _WRITE,
            },
            {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": _WRITE},
            {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": _WRITE},
            {
                "apiGroups": ["resource.k8s.io"],
                "resources": ["resourceclaims", "resourceclaimtemplates"],
                "verbs": _WRITE,
            },
            {"apiGroups": [""], "resources": ["pods/log", "pods/status"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list"]},
        ],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _EDIT_ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _EDIT_ROLE},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": PEOPLE_GROUP}],
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [role, binding]})
