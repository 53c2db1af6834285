"""The short way: answers a request that is here as a whole without a task, which would cost as much as all the rest."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from starlette.types import Scope

from app.domain.outcome import Outcome
from app.ingest.caller import Caller
from app.ingest.cors import Header
from app.ingest.decompress import is_plain
from app.ingest.intake import Intake, Pending
from app.ingest.parts import LARGE_BYTES, IngestParts
from app.ingest.reception import Reception, query_of
from app.ingest.replies import Refusals, body_of, headers_of, without_length

# Sends a whole reply: status, headers without the length, body.
SendWhole = Callable[[int, Sequence[Header], bytes], None]


class WholeRequests:
    """Of one path of a wire format; see `answer`."""

    def __init__(self, parts: IngestParts, reception: Reception, intake: Intake, refusals: Refusals) -> None:
        self._parts = parts
        self._reception = reception
        self._intake = intake
        self._refusals = refusals
        self._bytes_max = min(LARGE_BYTES, parts.settings.request_max_bytes)
        self._refusing: set[asyncio.Task[None]] = set()

    def answer(self, scope: Scope, raw: bytes, send: SendWhole) -> bool:
        """Answers what is simple and comes most often, as `IngestEndpoint.__call__` does. False when it is not like
        that; then nothing is done. Never raises.

        raw: the body as sent. send: called once, now or later.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["method"] != "POST" or len(raw) > self._bytes_max or not is_plain(raw, headers):
            return False
        try:
            query = query_of(scope)
            caller = self._reception.known(headers, query)
            if caller is None:
                return False
            pending = self._begin(scope, headers, query, caller, raw)
        except Exception as error:  # noqa: BLE001  # the client waits for an answer, whatever it is
            self._refuse(scope, send, error)
            return True
        end = partial(self._end, scope, headers.get(b"origin"), send, pending)
        if pending.done is None:
            end(None)
        else:
            pending.done.add_done_callback(end)
        return True

    def _begin(
        self, scope: Scope, headers: Mapping[bytes, bytes], query: Mapping[str, str], caller: Caller, body: bytes
    ) -> Pending:
        """Lets it in through the gate; `_end` lets it out. Raises as `IngestEndpoint.answer`."""
        gate, intake = self._parts.gate, self._intake
        gate.let_in()
        try:
            gate.check_storefront(caller.key.storefront.storefront_id)
            intake.admit(caller.key, scope)
            context = intake.context(scope, headers, query, caller, topic="")
            content = intake.decode(body, context, is_withheld=intake.is_withheld(headers, context))
            return intake.put(content, context, caller.key)
        except BaseException:
            gate.let_out()
            raise

    def _end(
        self,
        scope: Scope,
        origin: bytes | None,
        send: SendWhole,
        pending: Pending,
        done: asyncio.Future[list[Outcome]] | None,
    ) -> None:
        self._parts.gate.let_out()
        try:
            reply = self._intake.reply(pending, [] if done is None else done.result())
            headers, body = headers_of(reply, origin), body_of(reply)
        except Exception as error:  # noqa: BLE001  # the client waits for an answer, whatever it is
            self._refuse(scope, send, error)
        else:
            send(reply.status, headers, body)

    def _refuse(self, scope: Scope, send: SendWhole, error: Exception) -> None:
        async def refuse() -> None:
            response = await self._refusals.response_to(scope, error)
            send(response.status_code, without_length(response.raw_headers), bytes(response.body))

        task = asyncio.get_running_loop().create_task(refuse())
        self._refusing.add(task)
        task.add_done_callback(self._refusing.discard)
