"""What the mirror holds of a storefront as a number, so that an answer can be known to rest on the same rows still."""

from collections.abc import Iterable


class Versions:
    """A storefront's number grows with every look that brought or took anything of it. It begins anew with the process.

    Written by the follower, read by anybody.
    """

    def __init__(self) -> None:
        self._count = 0
        self._all_and_each: tuple[int, dict[int, int]] = (0, {})

    def of(self, storefront_id: int) -> int:
        everybody, each = self._all_and_each
        return each.get(storefront_id, everybody)

    def bump(self, storefront_ids: Iterable[int]) -> None:
        self._count += 1
        _, each = self._all_and_each
        each.update(dict.fromkeys(storefront_ids, self._count))

    def bump_all(self) -> None:
        """After rows went, whose they were is not asked."""
        self._count += 1
        self._all_and_each = (self._count, {})
