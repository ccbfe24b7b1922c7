"""
Find the API server and our credentials, in a kubeconfig or in the cluster around us, and keep them fresh.

The only module that imports ``kubernetes``. Nothing is sent from here. A kubeconfig's ``proxy-url`` is the only proxy:
the environment's are not read.
"""

import asyncio
import hashlib
import math
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog
import yaml

from webhook.kube.api.errors import KubeconfigError, NotInClusterError

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config.kube_config import KubeConfigLoader

log = structlog.get_logger(__name__)

# The kubelet replaces a token when 80 % of its life is over, and no life is shorter than 10 minutes.
_FILE_SECONDS: Final = 60.0
_USABLE_LIFE: Final = 0.8
# A server that refuses every token must not make each request run a credential plugin.
_RENEWAL_PAUSE: Final = 1.0
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
"""What kubectl and other programs take a proxy from."""


@dataclass(frozen=True, slots=True)
class Connection:
    """
    How to reach the API server.

    ``authorization`` is the header's value, None where a client certificate (in ``tls``) is used. ``tls_source``
    differs where authority, client certificate or key do. All of it is good for ``seconds`` from now on, infinity if
    only a refusal ends it. ``namespace`` is where one works who names none.
    """

    host: str
    tls: ssl.SSLContext
    tls_source: bytes
    server_hostname: str | None
    proxy: str | None
    authorization: str | None
    seconds: float
    namespace: str = "default"


class Credentials:
    """
    Keeps token, client certificate and trusted authorities fresh: loads them again when due, and after a refusal.

    Where that fails the old ones are kept. The address never changes. Safe to share between tasks of one event loop.
    """

    def __init__(self, connection: Connection, load: Callable[[], Awaitable[Connection]]) -> None:
        self._load = load
        self._lock = asyncio.Lock()
        self._connection = connection
        self._loaded_at = time.monotonic()
        self._due_at = self._loaded_at + connection.seconds

    @property
    def namespace(self) -> str:
        """Return where one works who names no namespace. Like the address it never changes."""
        return self._connection.namespace

    async def current(self) -> Connection:
        """Return the connection to use now: the same object for as long as nothing has changed."""
        if time.monotonic() >= self._due_at:
            async with self._lock:
                if time.monotonic() >= self._due_at:
                    await self._reload()
        return self._connection

    async def renewed(self, refused: Connection) -> bool:
        """Whether there is now another connection than the *refused* one; calls at the same time load it once."""
        async with self._lock:
            if self._connection is refused and time.monotonic() >= self._loaded_at + _RENEWAL_PAUSE:
                await self._reload()
        return self._connection is not refused

    async def _reload(self) -> None:
        seconds = _FILE_SECONDS
        try:
            loaded = await self._load()
        except KubeconfigError as error:
            log.warning("the credentials could not be renewed, the old ones stay in use", error=str(error))
        else:
            self._take(loaded)
            seconds = loaded.seconds
        self._loaded_at = time.monotonic()
        self._due_at = self._loaded_at + seconds

    def _take(self, loaded: Connection) -> None:
        known = self._connection
        if loaded.tls_source != known.tls_source:
            log.info("the certificates of the connection to the API server were replaced")
            known = replace(known, tls=loaded.tls, tls_source=loaded.tls_source)
        # Pooled connections belong to a TLS context: one that changed in nothing stays in use.
        if loaded.authorization != known.authorization:
            known = replace(known, authorization=loaded.authorization)
        self._connection = known


def route_of(connection: Connection, environ: Mapping[str, str]) -> str:
    """Return in words how proxies bear upon *connection*, without passwords; empty if none does."""
    if connection.proxy:
        parts = urlsplit(connection.proxy)
        named = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        return f"the kubeconfig's proxy-url {named} is between"
    for name in _PROXIES:
        if environ.get(name):
            return f"{name} is set and not used: a proxy before the API server is the proxy-url of a kubeconfig"
    return ""


def in_cluster(environ: Mapping[str, str], service_account: Path) -> Connection:
    """
    Return the connection of a pod, from its *environ* and the folder of its *service_account*.

    Raises: NotInClusterError outside a cluster, KubeconfigError.
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
        raise NotInClusterError(f"not in a cluster ({reason}): name a kubeconfig with --kubeconfig") from error
    connection = _connection(configuration, seconds=_FILE_SECONDS, source="the service account")
    try:
        own = (service_account / "namespace").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):  # only who names no namespace needs it
        return connection
    return replace(connection, namespace=own or connection.namespace)


async def from_kubeconfig(path: Path, context: str | None) -> Connection:
    """
    Return the connection of *context*, by default the current one, of the kubeconfig at *path*, or of the several in a
    list as `KUBECONFIG` has it.

    Runs the credential plugin that the kubeconfig names, if any. Never writes to the kubeconfig.

    Raises: KubeconfigError.
    """
    from kubernetes.aio.client import Configuration  # noqa: PLC0415  as above
    from kubernetes.aio.config import ConfigException  # noqa: PLC0415
    from kubernetes.aio.config.kube_config import KubeConfigLoader  # noqa: PLC0415

    source = f"the kubeconfig {path}"
    document, folder = _read_list(path)
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
        # On a malformed kubeconfig the library raises whatever its code runs into.
        raise KubeconfigError(f"{source} cannot be used, context {name!r}: {error}") from error
    if not configuration.host:
        raise KubeconfigError(f"{source} names no server for context {name!r}: set clusters[].cluster.server")
    if "exec" in user and not (configuration.api_key or configuration.cert_file):
        # The library logs the plugin's error and goes on without credentials.
        raise KubeconfigError(f"{source}: the credential plugin {user['exec'].get('command')!r} gave no credentials")
    connection = _connection(configuration, seconds=_life(loader, user, _cluster(document, name)), source=source)
    return replace(connection, namespace=_of_context(document, "namespace", name) or connection.namespace)


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """Return the kubeconfig and the folder that its relative paths start from. Raises: KubeconfigError."""
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


def _read_list(path: Path) -> tuple[dict[str, Any], str]:
    """Return the same of one kubeconfig, or of a list of them. Raises: KubeconfigError."""
    files = [Path(each) for each in str(path).split(os.pathsep) if each]
    return _read(path) if len(files) < 2 or path.exists() else (_merged(files), "")


_PATHS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Fields with a path, which may be relative to the folder of its file."""


def _merged(paths: Sequence[Path]) -> dict[str, Any]:
    """
    Return several kubeconfigs as one, as kubectl does: files that are not there are left out, and of what has the same
    name the first counts. Raises: KubeconfigError.
    """
    merged: dict[str, Any] = {}
    for path in (each for each in paths if each.exists()):
        document, folder = _read(path)
        merged["current-context"] = merged.get("current-context") or document.get("current-context")
        for section, key in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
            known = merged.setdefault(section, [])
            names = {each.get("name") for each in known if isinstance(each, dict)}
            for item in document.get(section) or ():
                if isinstance(item, dict) and item.get("name") not in names:
                    known.append({**item, key: _absolute(item.get(key), folder)})
    if not merged:
        raise KubeconfigError(f"there is none of the kubeconfigs {', '.join(map(str, paths))}")
    return merged


def _absolute(fields: Any, folder: str) -> Any:
    if not isinstance(fields, dict):
        return fields
    given = {name: fields[name] for name in _PATHS if isinstance(fields.get(name), str) and fields[name]}
    return {**fields, **{name: str(Path(folder) / text) for name, text in given.items()}}


def _user(document: dict[str, Any], context: str) -> dict[str, Any]:
    return _named(document, "user", context)


def _cluster(document: dict[str, Any], context: str) -> dict[str, Any]:
    return _named(document, "cluster", context)


def _named(document: dict[str, Any], what: str, context: str) -> dict[str, Any]:
    """Return the user or the cluster that *context* names, empty if there is none."""
    name = _of_context(document, what, context)
    return next((entry[what] or {} for entry in document.get(f"{what}s") or () if entry["name"] == name), {})


def _of_context(document: dict[str, Any], what: str, context: str) -> Any:
    return next(entry["context"].get(what) for entry in document["contexts"] if entry["name"] == context)


def _life(loader: "KubeConfigLoader", user: dict[str, Any], cluster: dict[str, Any]) -> float:
    """Return the seconds after which to load everything again; infinity if nothing of it is in other files."""
    if "exec" in user and hasattr(loader, "exec_plugin_expiry"):
        life: float = loader.exec_plugin_expiry.timestamp() - time.time()
        return max(_RENEWAL_PAUSE, _USABLE_LIFE * life)
    in_files = {"tokenFile", "client-certificate", "client-key"} & user.keys() or "certificate-authority" in cluster
    return _FILE_SECONDS if in_files and "exec" not in user else math.inf


def _connection(configuration: "Configuration", *, seconds: float, source: str) -> Connection:
    from kubernetes.aio.client.rest import RESTClientObject  # noqa: PLC0415  as above

    # Python 3.13 and later refuse authorities without a key identifier, which kubectl and the kubelet accept.
    configuration.disable_strict_ssl_verification = True
    try:
        tls_source = _tls_source(configuration)
        tls = RESTClientObject(configuration).ssl_context
    except OSError as error:
        raise KubeconfigError(f"the certificates of {source} cannot be used: {error}") from error
    return Connection(
        host=configuration.host,
        tls=tls,
        tls_source=tls_source,
        server_hostname=configuration.tls_server_name,
        proxy=configuration.proxy,
        # A token from a file ends in a newline, which no header may hold.
        authorization=configuration.api_key.get("BearerToken", "").strip() or None,
        seconds=seconds,
    )


def _tls_source(configuration: "Configuration") -> bytes:
    """Return a digest of all that the TLS context is made of. Read before it, so that a change between is seen next."""
    digest = hashlib.sha256(b"verified" if configuration.verify_ssl else b"unverified")
    for path in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
        content = Path(path).read_bytes() if path else b""
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.digest()
