"""
Execute a program that the kernel kills as soon as the process that started it has ended.

Run as a file, with no package around it: ``python follow.py PARENT-PID PROGRAM ARGUMENT...``. A ``preexec_fn`` would
do the same without a file, but is not safe in a process with threads, and newer Pythons warn about it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept across exec


def _main(parent: int, argv: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit(1)
    os.execv(argv[0], argv)  # noqa: S606  the program that processes.py names


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2:])
