"""
The Kubernetes API server as bytes in and bytes out, with our own errors (``KubernetesApi``).

The only package that imports ``kubernetes``, and only its reading of kubeconfigs and credentials. Following a
collection is for ``adapters.reflector``.
"""

from webhook.kube.api.client import JSON, KubernetesApi
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
    ServerError,
    SilenceError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
    api_error,
)

__all__ = [
    "JSON",
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
    "ServerError",
    "SilenceError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnreachableError",
    "api_error",
]
