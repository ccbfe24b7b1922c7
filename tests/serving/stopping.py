"""
A server whose event loop stands still in the next review until a line comes: `python -m tests.serving.stopping CA`.

Prints its port, and writes its authority to CA.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.serving.stage import Stage
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.certificates import ServingIdentity, self_signed
from webhook.wiring.application import SystemClock
from webhook.wiring.standstill import watch_for_standstill


async def stand_still(request: AdmissionRequest, _: float) -> AdmissionResponse:
    sys.stdin.readline()
    return review.allowed(request.uid)


def main(authority: Path) -> None:
    identity = self_signed(("localhost", "127.0.0.1"), SystemClock())
    authority.write_bytes(identity.ca_bundle)
    asyncio.run(serve(identity))


async def serve(identity: ServingIdentity) -> None:
    stage = Stage(identity, answer=stand_still)
    await stage.start()
    sys.stdout.write(f"{stage.port}\n")
    sys.stdout.flush()
    await watch_for_standstill(1.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
