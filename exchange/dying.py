"""Children that do not outlive their parent, however it ends (Linux: prctl(2), PR_SET_PDEATHSIG)."""

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


def dying_with(parent: int, number: signal.Signals) -> Callable[[], None]:
    """What a child does before it becomes the program (`preexec_fn`): ask the kernel for this signal when its parent dies.

    The parent is the thread that makes the child, which must therefore last.
    """

    def ask() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask
