"""
Where the API server is and who we are: a kubeconfig or the cluster around us, its TLS, a token that stays fresh.

The only module that imports ``kubernetes``. Nothing is sent from here, and a kubeconfig's ``proxy-url`` is the only
proxy: the environment's are not read.
"""

import asyncio
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
import yaml

from webhook.kube.api.errors import KubeconfigError

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config.kube_config import KubeConfigLoader

log = structlog.get_logger(__name__)

# The kubelet replaces a token when 80 % of its life is over, and no life is shorter than 10 minutes.
_TOKEN_FILE_SECONDS: Final = 60.0
_USABLE_LIFE: Final = 0.8
# A server that refuses every token must not make each request run a credential plugin.
_RENEWAL_PAUSE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Connection:
    """
    How to reach the API server.

    ``authorization`` is the header's value, None where a client certificate (in ``tls``) says who we are; it is good
    for ``seconds`` from now on, infinity if only a refusal ends it.
    """

    host: str
    tls: ssl.SSLContext
    server_hostname: str | None
    proxy: str | None
    authorization: str | None
    seconds: float


class Credentials:
    """
    Keeps the Authorization header fresh: loads it again when it is due, and when the server refused it.

    Where that fails the old one is kept. Safe to share between the tasks of one event loop.
    """

    def __init__(self, connection: Connection, load: Callable[[], Awaitable[Connection]]) -> None:
        self._load = load
        self._lock = asyncio.Lock()
        self._header = connection.authorization
        self._loaded_at = time.monotonic()
        self._due_at = self._loaded_at + connection.seconds

    async def header(self) -> str | None:
        """Give the value of the Authorization header, None for none."""
        if time.monotonic() >= self._due_at:
            async with self._lock:
                if time.monotonic() >= self._due_at:
                    await self._reload()
        return self._header

    async def renewed(self, refused: str | None) -> bool:
        """Say whether there is now another header than the *refused* one; calls at the same time load it once."""
        async with self._lock:
            if self._header == refused and time.monotonic() >= self._loaded_at + _RENEWAL_PAUSE:
                await self._reload()
        return self._header != refused

    async def _reload(self) -> None:
        seconds = _TOKEN_FILE_SECONDS
        try:
            connection = await self._load()
        except KubeconfigError as error:
            log.warning("the credentials could not be renewed, the old ones stay in use", error=str(error))
        else:
            self._header, seconds = connection.authorization, connection.seconds
        self._loaded_at = time.monotonic()
        self._due_at = self._loaded_at + seconds


def in_cluster(environ: Mapping[str, str], service_account: Path) -> Connection:
    """
    Give the connection of a pod, from its *environ* and the folder of its *service_account*.

    Raises: KubeconfigError outside a cluster.
    """
    from kubernetes.aio.client import Configuration  # noqa: PLC0415  half a second that most commands need not pay
    from kubernetes.aio.config import ConfigException  # noqa: PLC0415
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader  # noqa: PLC0415

    configuration = Configuration(host="")
    loader = InClusterConfigLoader(  # type: ignore[no-untyped-call]  # so is the whole of kubernetes.aio.config
        token_filename=str(service_account / "token"),
        cert_filename=str(service_account / "ca.crt"),
        try_refresh_token=False,
        environ=environ,
    )
    try:
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        reason = str(error).rstrip(".")
        raise KubeconfigError(f"not in a cluster ({reason}): name a kubeconfig with --kubeconfig") from error
    return _connection(configuration, seconds=_TOKEN_FILE_SECONDS, source="the service account")


async def from_kubeconfig(path: Path, context: str | None) -> Connection:
    """
    Give the connection of *context*, by default the current one, of the kubeconfig at *path*.

    Runs the credential plugin that the kubeconfig names, if any. Never writes to the kubeconfig.

    Raises: KubeconfigError.
    """
    from kubernetes.aio.client import Configuration  # noqa: PLC0415  as above
    from kubernetes.aio.config import ConfigException  # noqa: PLC0415
    from kubernetes.aio.config.kube_config import KubeConfigLoader  # noqa: PLC0415

    source = f"the kubeconfig {path}"
    document, folder = _read(path)
    name = context or document.get("current-context")
    if not name:
        raise KubeconfigError(f"{source} sets no current-context: run 'kubectl config use-context NAME'")
    configuration = Configuration(host="")
    try:
        loader = KubeConfigLoader(  # type: ignore[no-untyped-call]
            document, active_context=name, config_base_path=folder
        )
        await loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
        user = _user(document, name)
    except (ConfigException, LookupError, TypeError, AttributeError, ValueError, OSError) as error:
        # The library tells of a malformed kubeconfig by whatever breaks on it.
        raise KubeconfigError(f"{source} cannot be used, context {name!r}: {error}") from error
    if not configuration.host:
        raise KubeconfigError(f"{source} names no server for context {name!r}: set clusters[].cluster.server")
    if "exec" in user and not (configuration.api_key or configuration.cert_file):
        # The library logs what the plugin said, and goes on as nobody.
        raise KubeconfigError(f"{source}: the credential plugin {user['exec'].get('command')!r} gave no credentials")
    return _connection(configuration, seconds=_life(loader, user), source=source)


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """Give the kubeconfig and the folder that the paths in it start from."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise KubeconfigError(f"there is no kubeconfig {path}: name another with --kubeconfig") from error
    except OSError as error:
        raise KubeconfigError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise KubeconfigError(f"the kubeconfig {path} is not YAML: line {line}: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"the kubeconfig {path} is not YAML: it holds bytes that are no text") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"the kubeconfig {path} holds no kubeconfig: name another with --kubeconfig")
    return document, str(path.absolute().parent)


def _user(document: dict[str, Any], context: str) -> dict[str, Any]:
    name = next(entry["context"].get("user") for entry in document["contexts"] if entry["name"] == context)
    return next((entry["user"] or {} for entry in document.get("users") or () if entry["name"] == name), {})


def _life(loader: "KubeConfigLoader", user: dict[str, Any]) -> float:
    """Give the seconds after which the token has to be loaded again; infinity for one without a known end."""
    if "exec" in user and hasattr(loader, "exec_plugin_expiry"):
        life: float = loader.exec_plugin_expiry.timestamp() - time.time()
        return max(_RENEWAL_PAUSE, _USABLE_LIFE * life)
    return _TOKEN_FILE_SECONDS if "tokenFile" in user else math.inf


def _connection(configuration: "Configuration", *, seconds: float, source: str) -> Connection:
    from kubernetes.aio.client.rest import RESTClientObject  # noqa: PLC0415  as above

    # Python 3.13 and later refuse authorities without a key identifier, which kubectl and the kubelet accept.
    configuration.disable_strict_ssl_verification = True
    try:
        tls = RESTClientObject(configuration).ssl_context
    except OSError as error:
        raise KubeconfigError(f"the certificates of {source} cannot be used: {error}") from error
    return Connection(
        host=configuration.host,
        tls=tls,
        server_hostname=configuration.tls_server_name,
        proxy=configuration.proxy,
        # A token from a file ends in a newline, which no header may hold.
        authorization=configuration.api_key.get("BearerToken", "").strip() or None,
        seconds=seconds,
    )
