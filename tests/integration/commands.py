"""A command of the command line, run in this process."""

import json
from typing import Any, NamedTuple, Protocol


class Done(NamedTuple):
    """What a command left. text: everything it printed, on one line."""

    code: int
    out: str
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Footfall(Protocol):
    def __call__(self, *arguments: str) -> Done: ...
