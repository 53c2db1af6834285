"""Where numba keeps compiled code: one folder per state of the sources."""

from hashlib import blake2b
from pathlib import Path

SOURCES = ("match", "mirror")  # parts that have compiled functions


def cache_folder(parent: Path) -> Path:
    """Of the sources as they are now. Nothing is ever deleted: who gives a folder may keep other things there.

    numba itself looks only at the file that a function is in, and takes up old code when one that it calls has changed.
    """
    digest = blake2b(digest_size=8)
    here = Path(__file__).parent
    for path in sorted(path for part in SOURCES for path in (here / part).glob("*.py")):
        digest.update(path.read_bytes())
    return parent / digest.hexdigest()
