"""
The Kubernetes API server as bytes in and bytes out, with our own errors (``KubernetesApi``).

The only package that imports ``kubernetes``, and of that only what reads kubeconfigs and credentials. To follow a
collection see ``webhook.kube.reflector``.
"""

from webhook.kube.api.client import APPLY, JSON, JSON_PATCH, MERGE_PATCH, METADATA_ONLY, ActingAs, KubernetesApi
from webhook.kube.api.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeconfigError,
    NoConnectionError,
    NotFoundError,
    NotInClusterError,
    ServerError,
    SilenceError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
    api_error,
)
from webhook.kube.api.versions import version_read
from webhook.quota.errors import UNREADABLE

__all__ = [
    "JSON",
    "APPLY",
    "JSON_PATCH",
    "MERGE_PATCH",
    "METADATA_ONLY",
    "UNREADABLE",
    "ActingAs",
    "AlreadyExistsError",
    "ApiError",
    "ConflictError",
    "ForbiddenError",
    "GoneError",
    "InvalidError",
    "KubeconfigError",
    "KubernetesApi",
    "NoConnectionError",
    "NotFoundError",
    "NotInClusterError",
    "ServerError",
    "SilenceError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnreachableError",
    "api_error",
    "version_read",
]
