"""Words of shops where a maker leaves the names to them: mostly Segment's or GA4's, in whatever spelling."""

from collections.abc import Mapping
from typing import Any

from app.ga4_words import EVENT_NAMES as GA4_EVENT_NAMES
from app.ga4_words import PARAMETER_NAMES, PRODUCT_NAMES
from app.ingest.formats.foreign import Object
from app.ingest.formats.segment_words import native_name, native_properties

# GA4's, at the top of an event too: that is where shops have a single product.
_NAMES: Mapping[str, str] = PARAMETER_NAMES | {name: ours for name, ours in PRODUCT_NAMES.items() if name != "index"}


def shop_event_name(name: str) -> str:
    """Ours, or the name as it is (cut where it is too long)."""
    return GA4_EVENT_NAMES.get(name.lower()) or native_name(name)


def shop_properties(event_name: str, sent: Object) -> dict[str, Any]:
    """All that was sent, in our words. event_name: ours. A null says nothing, and is left out."""
    properties = _renamed(sent, _NAMES)
    items = properties.get("items")
    if isinstance(items, list) and "products" not in properties:
        properties["products"] = [_renamed(item, PRODUCT_NAMES) if isinstance(item, dict) else item for item in items]
        del properties["items"]
    return native_properties(event_name, properties)


def _renamed(sent: Object, names: Mapping[str, str]) -> dict[str, Any]:
    """Never over a name of ours that was sent too."""
    given = {name: value for name, value in sent.items() if value is not None}
    for name, ours in names.items():
        if name in given and ours not in given:
            given[ours] = given.pop(name)
    return given
