"""Threads for work that may wait: they step back behind the event loop, which has clients waiting."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

# Linux: a tenth of the weight of a thread at 0. Threads that such a thread makes, as DuckDB's, inherit it.
NICENESS = 10


def background_threads(count: int) -> ThreadPoolExecutor:
    """At most so many threads, of low priority where the system knows such a thing per thread."""
    return ThreadPoolExecutor(count, thread_name_prefix="background", initializer=_step_back)


def _step_back() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
