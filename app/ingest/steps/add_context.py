"""Says of an event which device it came from and what brought its person, then forgets by what that was told."""

from collections.abc import Sequence
from itertools import chain

from app.domain.context import Campaign, Channel, Sender
from app.domain.event import Event
from app.ingest.context.campaign import UTM, campaign_of, told_campaign
from app.ingest.context.device import device_of
from app.ingest.pipeline import NO_FAULTS, Arrival, Faults


def add_context(events: Sequence[Event], arrival: Arrival) -> Faults:
    is_told = not UTM.isdisjoint(chain.from_iterable([event.properties for event in events]))
    device = None if arrival.sender is None else device_of(arrival.sender)
    for event in events:
        if (said := event.sender) is not None:
            event.sender, event.device = None, device_of(_sender(said, arrival.sender))
        elif arrival.sender is not None:
            event.device = device
        if event.campaign is None or event.campaign.channel is not Channel.OFFLINE:
            found = campaign_of(event.url, event.referrer, arrival.own_hosts)
            event.campaign = _or_told(found, event) if is_told else found
    return NO_FAULTS


def _or_told(found: Campaign | None, event: Event) -> Campaign | None:
    if found is not None and (found.utm_source or found.utm_medium or found.utm_campaign):
        return found
    return told_campaign(event.properties) or found


def _sender(of_event: Sender, of_request: Sender | None) -> Sender:
    """What the event says itself, and for the rest the headers: unless somebody sends on behalf of another browser."""
    if of_request is None:
        return of_event
    if of_event.user_agent not in {None, of_request.user_agent}:
        return of_event
    return Sender(
        of_request.user_agent, of_event.language or of_request.language, of_event.country or of_request.country
    )
