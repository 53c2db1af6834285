"""Small disks that a test may fill, and one whose power it may cut. All need root."""

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MEGABYTE = 1024**2
FILL_CHUNK_BYTES = 64 * 1024
EXT4_IOC_SHUTDOWN = 0x8004587D  # Linux, fs/ext4/ext4.h: _IOR('X', 125, __u32)
WITHOUT_FLUSHING_THE_JOURNAL = 2
UNMOUNT_SECONDS = 10.0

needs_mounts = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts file systems: needs Linux and root"
)


@contextmanager
def small_disk(mount_point: Path, size_bytes: int) -> Iterator[Path]:
    mount_point.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "footfall-test", mount_point)
    try:
        yield mount_point
    finally:
        _unmount(mount_point)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not a byte is left on the disk inside of the block."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (FILL_CHUNK_BYTES, 512, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    try:
        yield
    finally:
        filler.unlink()


class CuttableDisk:
    """An ext4 file system in a file. After `cut` nothing reaches it: the file stays as the disk is at a power cut,
    with what was written to it and without what was only in memory."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.path = folder / "disk"
        self._image = folder / "disk.ext4"
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-F", self._image)
        self._mount()

    def flush(self) -> None:
        """What is on it by now survives."""
        _run("sync", "--file-system", self.path)

    def cut(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING_THE_JOURNAL))
        finally:
            os.close(descriptor)

    def turn_on_again(self) -> None:
        """Mounts what is left, as a machine does that starts again. Nothing may use the disk any more."""
        self.close()
        self._mount()

    def close(self) -> None:
        _unmount(self.path)

    def _mount(self) -> None:
        _run("mount", "-o", "loop", self._image, self.path)


def _unmount(path: Path) -> None:
    """Processes that were killed hold their files for a moment longer."""
    give_up_at = time.monotonic() + UNMOUNT_SECONDS
    while subprocess.run(["umount", path], check=False, capture_output=True).returncode != 0:
        assert time.monotonic() < give_up_at, f"{path} stays in use"
        time.sleep(0.05)


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
