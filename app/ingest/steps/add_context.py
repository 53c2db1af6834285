"""Says of an event which device it came from and what brought its person, then forgets by what that was told."""

from app.domain.context import Campaign, Channel, Sender
from app.domain.event import Event
from app.ingest.context.campaign import campaign_of, told_campaign
from app.ingest.context.device import device_of
from app.ingest.pipeline import Arrival, Fault


def add_context(event: Event, arrival: Arrival) -> Fault | None:
    sender = _sender(event.sender, arrival.sender)
    if sender is not None:
        event.sender, event.device = None, device_of(sender)
    if event.campaign is None or event.campaign.channel is not Channel.OFFLINE:
        event.campaign = _campaign(event, arrival)
    return None


def _campaign(event: Event, arrival: Arrival) -> Campaign | None:
    found = campaign_of(event.url, event.referrer, arrival.own_hosts)
    if found is not None and (found.utm_source or found.utm_medium or found.utm_campaign):
        return found
    return told_campaign(event.properties) or found


def _sender(of_event: Sender | None, of_request: Sender | None) -> Sender | None:
    """What the event says itself, and for the rest the headers: unless somebody sends on behalf of another browser."""
    if of_event is None or of_request is None:
        return of_event or of_request
    if of_event.user_agent not in {None, of_request.user_agent}:
        return of_event
    return Sender(
        of_request.user_agent, of_event.language or of_request.language, of_event.country or of_request.country
    )
