"""Who was seen with whom: the visitors of a customer, or the customers of a visitor, also those that were undone."""

from datetime import datetime
from itertools import islice
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field, PrivateAttr

from app.domain.storefront import Storefront
from app.domain.time_range import from_us
from app.mirror.scan import Scan, Together
from app.reports.base import NEVER_US, ReportResult
from app.reports.conditions import Params
from app.reports.tables import Table, table_of
from app.storage.person_keys import SenderKeys
from app.storage.persons import PersonKind

LINKS_MAX = 1_000
_COLUMN: dict[PersonKind, Literal["visitor_id", "customer_id"]] = {
    PersonKind.CUSTOMER: "customer_id",
    PersonKind.VISITOR: "visitor_id",
}


class LinksQuery(Params):
    kind: Annotated[PersonKind | None, Field(description="take the id as this and nothing else")] = None
    limit: Annotated[int, Field(ge=1, le=LINKS_MAX, description="the latest so many")] = 100


class LinksParams(BaseModel):
    """A customer or a visitor, by our ids."""

    of: PersonKind
    number: int
    limit: int


class PersonLink(BaseModel):
    """Ids are the sender's. unlinked_at: each time the link was undone. is_linked: by an event since the last time."""

    customer_id: str | None = None
    visitor_id: str | None = None
    first_seen_at: AwareDatetime
    last_seen_at: AwareDatetime
    unlinked_at: list[AwareDatetime]
    is_linked: bool


class LinksResult(ReportResult):
    """links: the latest first, as many as were asked for of links_count."""

    links_count: int
    links: list[PersonLink]
    _ids: list[tuple[int, int]] = PrivateAttr(default_factory=list)

    @property
    def customer_ids(self) -> list[int]:
        return [customer_id for customer_id, _ in self._ids]

    @property
    def visitor_ids(self) -> list[int]:
        return [visitor_id for _, visitor_id in self._ids]

    def of(self, ids: list[tuple[int, int]]) -> "LinksResult":
        """Customer and visitor of each link, by our ids."""
        self._ids = ids
        return self

    def name(self, keys: SenderKeys) -> None:
        for link, (customer_id, visitor_id) in zip(self.links, self._ids, strict=True):
            link.customer_id = keys.customers.get(customer_id)
            link.visitor_id = keys.visitors.get(visitor_id)

    def table(self) -> Table:
        """A row for each link; the times it was undone in one text."""
        rows = (({"unlinked_at": ", ".join(map(datetime.isoformat, each.unlinked_at))}, each) for each in self.links)
        return table_of(PersonLink, rows, unlinked_at=str)


class LinksReport:
    name = "links"
    Params = LinksParams
    Result = LinksResult

    def run(self, params: LinksParams, scan: Scan, storefront: Storefront) -> LinksResult:  # noqa: ARG002
        found = scan.seen_together(_COLUMN[params.of], params.number)
        shown = list(islice(found, params.limit))
        result = LinksResult(
            as_of=from_us(scan.as_of_us),
            events_read=scan.events_read,
            links_count=len(found),
            links=[_link(each) for each in shown],
        )
        return result.of([(each.customer_id, each.visitor_id) for each in shown]).stays_valid_until(NEVER_US)


LINKS = LinksReport()


def _link(found: Together) -> PersonLink:
    undone_at_us = found.undone_at_us or []
    return PersonLink(
        first_seen_at=from_us(found.first_us),
        last_seen_at=from_us(found.last_us),
        unlinked_at=[from_us(at_us) for at_us in undone_at_us],
        is_linked=not undone_at_us or found.last_us > undone_at_us[-1],
    )
