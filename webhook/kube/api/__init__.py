"""
The Kubernetes API server as bytes in and bytes out, with our own errors (``KubernetesApi``).

The only package that imports ``kubernetes``, and of that only what reads kubeconfigs and credentials. To follow a
collection see ``webhook.kube.reflector``.
"""

from webhook.kube.api.client import JSON, METADATA_ONLY, ActingAs, KubernetesApi
from webhook.kube.api.errors import (
    UNREADABLE,
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

__all__ = [
    "JSON",
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
