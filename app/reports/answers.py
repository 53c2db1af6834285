"""Answers of reports: from the cache while they are right, else worked out, once for all who ask at the time."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.domain.storefront import Storefront
from app.metrics import Metrics
from app.mirror.follow import Mirror
from app.mirror.scan import Scan
from app.reports.base import Report, ReportResult
from app.reports.cache import Kept, Question, ResultCache
from app.reports.exports import FORMS, JSON, Form
from app.reports.flights import Flight, Flights
from app.reports.looks import Looks
from app.reports.negotiate import best_form
from app.reports.presence import ClientGone, NoReply, unless_gone
from app.reports.runner import ReportRunner

# Kept by the client alone, and asked about each time.
CACHE_HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
# For the OpenAPI document, beside the JSON of each report.
ANSWER_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; every form but JSON is one table.",
        "content": {form.media_type: {"schema": {"type": "string"}} for form in FORMS if form is not JSON},
    },
    304: {"description": "The answer is still the one whose ETag was sent as If-None-Match."},
}
OPAQUE_TAG = re.compile(r'"([^"]*)"')


class Found(NamedTuple):
    """An answer, and the look that found it right. outcome: `hit` or `miss`."""

    question: Question
    kept: Kept
    now_us: int
    outcome: str

    def tag(self, form: Form) -> str:
        """The same for as long as the answer is: `as_of` moving on is no change."""
        facts = repr((self.question, self.kept.version, self.kept.looked_at_us, form.media_type))
        return blake2b(facts.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Answers:
    def __init__(
        self, mirror: Mirror, looks: Looks, runner: ReportRunner, *, cache_bytes: int, metrics: Metrics
    ) -> None:
        self._versions = mirror.versions
        self._looks = looks
        self._runner = runner
        self._cache = ResultCache(cache_bytes)
        self._flights: Flights[Kept] = Flights()
        self._metrics = metrics

    async def result(self, report: Report, params: BaseModel, storefront: Storefront) -> ReportResult:
        """For whoever asks from within. Raises as `ReportRunner.run` and `Looks.catch_up`."""
        found = await self._find(report, params, storefront)
        self._metrics.report_cache.labels(found.outcome).inc()
        return await asyncio.to_thread(found.kept.result, found.now_us)

    async def reply(
        self,
        report: Report,
        params: BaseModel,
        storefront: Storefront,
        request: Request,
        complete: Callable[[Any], Awaitable[None]] | None = None,
    ) -> Response:
        """The answer in the form that the client accepts, or 304. Raises 406 as FootfallError, too.

        complete: adds to a result what the mirror does not know.
        """
        form = best_form(", ".join(request.headers.getlist("accept")))
        try:
            found = await unless_gone(request, self._find(report, params, storefront))
        except ClientGone:
            return NoReply()
        tag = found.tag(form)
        headers = {**CACHE_HEADERS, "ETag": f'W/"{tag}"'}
        if tag in OPAQUE_TAG.findall(", ".join(request.headers.getlist("if-none-match"))):
            self._metrics.report_cache.labels("not_modified").inc()
            return Response(status_code=304, headers=headers)
        self._metrics.report_cache.labels(found.outcome).inc()
        if form.extension:
            headers["Content-Disposition"] = f'attachment; filename="{report.name}.{form.extension}"'
        result = await asyncio.to_thread(found.kept.result, found.now_us)
        if complete is not None:
            await complete(result)
        body = await asyncio.to_thread(form.render, result)
        return Response(body, media_type=form.media_type, headers=headers)

    async def drop_outdated(self) -> None:
        """Forget answers whose events have changed: they can't be given any more."""
        self._cache.drop_outdated(self._versions.of)

    async def _find(self, report: Report, params: BaseModel, storefront: Storefront) -> Found:
        question = Question(report.name, storefront, params.model_dump_json())
        now_us = (await self._looks.catch_up()).as_of_us
        version = self._versions.of(storefront.storefront_id)
        kept = self._cache.get(question, version, now_us)
        if kept is not None:
            return Found(question, kept, now_us, "hit")
        flight = self._flights.find(question, version)
        if flight is not None:
            return Found(question, await flight.result(), now_us, "hit")
        flight = self._flights.start(question, partial(self._work_out, report, params, question))
        return Found(question, await flight.result(), now_us, "miss")

    async def _work_out(self, report: Report, params: BaseModel, question: Question, flight: Flight[Kept]) -> Kept:
        storefront = question.storefront

        def begin() -> None:  # first: the scan holds the rows of this version, if not newer ones too
            flight.version = self._versions.of(storefront.storefront_id)

        def work(scan: Scan) -> Kept:
            started = time.perf_counter()
            result: ReportResult = report.run(params, scan, storefront)
            result.seconds = round(time.perf_counter() - started, 6)
            assert flight.version is not None
            return Kept.of(result, flight.version, scan.as_of_us)

        kept = await self._runner.run(report.name, storefront.storefront_id, work, begin)
        self._cache.put(question, kept)
        return kept
