"""Threads for work that may wait: they step back behind the event loop, which has clients waiting."""

import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from app import parallel

# Linux: a tenth of the weight of a thread at 0. Threads that such a thread makes, as DuckDB's, inherit it.
NICENESS = 10


def background_threads(count: int) -> ThreadPoolExecutor:
    """At most so many threads, of low priority where the system knows such a thing per thread."""
    return ThreadPoolExecutor(count, thread_name_prefix="background", initializer=_step_back)


def leave_threads_behind() -> None:
    """End the process although a thread still waits, say in a driver for a server that hangs. Call it last."""
    parallel.end()
    others = (thread for thread in threading.enumerate() if thread is not threading.current_thread())
    if any(not thread.daemon for thread in others):
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _step_back() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
