"""
Wait until a started process is ready.

Nothing is started or stopped here.
"""

import http.client
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from localcluster.errors import ProcessError
from localcluster.pki import Pki
from localcluster.processes import ChildProcess

_SECONDS_BETWEEN_PROBES = 0.1
_SECONDS_PER_PROBE = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """
    Whether an https URL answers 200.

    ``token`` may be empty. The client presents the certificate of the control plane, which etcd demands.
    """

    url: str
    pki: Pki
    token: str = ""

    def __call__(self) -> bool:
        """Whether the answer is 200 now."""
        context = ssl.create_default_context(cafile=self.pki.ca_file)
        context.load_cert_chain(self.pki.certificate_file, self.pki.key_file)
        address = urlsplit(self.url)
        connection = http.client.HTTPSConnection(address.netloc, timeout=_SECONDS_PER_PROBE, context=context)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection.request("GET", address.path, headers=headers)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def wait_until_ready(process: ChildProcess, is_ready: Callable[[], bool], *, seconds: float = 120) -> None:
    """
    Return as soon as *is_ready* returns True.

    Raises: ProcessError with the last lines of the log, if the process ends or *seconds* pass first.
    """
    deadline = time.monotonic() + seconds
    while not is_ready():
        failure = None
        if not process.is_running():
            failure = "ended before it was ready"
        elif time.monotonic() > deadline:
            failure = f"was not ready after {seconds:g} s"
        if failure is not None:
            raise ProcessError(process.name, failure, log_file=process.log_file, log_tail=process.log_tail())
        time.sleep(_SECONDS_BETWEEN_PROBES)
