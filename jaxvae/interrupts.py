"""Ctrl-C, SIGTERM and a time limit as a request to stop, so that nothing is lost."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator


class Interrupted(BaseException):
    """A run was stopped by a signal after it had saved.

    Args:
        signum: the signal.
        hint: how to go on.
    """

    def __init__(self, signum: int, hint: str):
        super().__init__(hint)
        self.signum = signum
        self.hint = hint

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, as shells have it."""
        return 128 + self.signum


class OutOfTime(Exception):
    """The time of a run was up, and it has saved.

    Args:
        step: how far its training is.
        hint: how to go on.
    """

    def __init__(self, step: int, hint: str):
        super().__init__(hint)
        self.step = step
        self.hint = hint


class StopRequest:
    """Holds the first signal that came; `requested()` is false until then, or until the time is up.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float = math.inf):
        self.signum = 0
        self._deadline = time.monotonic() + seconds

    def requested(self) -> bool:
        """Whether a signal came, or the time is up."""
        return self.signum != 0 or time.monotonic() >= self._deadline

    def handle(self, signum: int, frame: object) -> None:
        """The signal handler; the signal's next arrival acts at once."""
        self.signum = self.signum or signum
        signal.signal(signum, signal.SIG_DFL)
        # Not print, which a handler must not call while the same stream is being written.
        os.write(2, b"\nStopping; once more to quit at once without saving.\n")


@contextlib.contextmanager
def stop_on_signals(request: StopRequest) -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM set the request instead of ending the process."""
    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {signum: signal.signal(signum, request.handle) for signum in signals}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
