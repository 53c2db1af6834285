"""Sets where compiled code is kept, before anything imports numba; processes that tests start keep it there too."""

import os
from pathlib import Path

from app.compiled_code import cache_folder

COMPILED = Path(__file__).parents[1] / "build" / "numba"
os.environ["NUMBA_CACHE_DIR"] = str(cache_folder(COMPILED))
