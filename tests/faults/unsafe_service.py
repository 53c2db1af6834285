"""`footfall` with commits that do not wait for the disk: shows that the power cut test can fail."""

from typing import Any

import asyncpg

from app import cli

create_pool = asyncpg.create_pool


def create_unsafe_pool(*arguments: Any, server_settings: dict[str, str], **options: Any) -> asyncpg.Pool:
    unsafe = {**server_settings, "synchronous_commit": "off"}
    return create_pool(*arguments, server_settings=unsafe, **options)


if __name__ == "__main__":
    asyncpg.create_pool = create_unsafe_pool
    cli.main()
