"""Ctrl-C that is answered at once, also while compiled code holds the main thread."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRACE = 1.0  # seconds for the ordinary KeyboardInterrupt to arrive, before the process is ended
EXIT_CODE = 130


@contextmanager
def answered() -> Iterator[None]:
    """Within it, Ctrl-C ends the process after GRACE seconds even if Python cannot raise KeyboardInterrupt.

    Python runs its signal handlers between two instructions of its own, so the compiler or a long device program
    would delay them. Files are written in one move (see `atomic`), so nothing is left half done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    finished = threading.Event()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, finished), daemon=True).start()
    try:
        yield
    finally:
        finished.set()
        signal.set_wakeup_fd(before)
        os.close(writer)


def _watch(reader: int, finished: threading.Event) -> None:
    while True:
        number = os.read(reader, 1)
        if not number:
            os.close(reader)
            return
        if number[0] == signal.SIGINT and not finished.wait(GRACE):
            sys.stderr.write("\ninterrupted; give the same command with --resume to go on\n")
            sys.stderr.flush()
            os._exit(EXIT_CODE)
