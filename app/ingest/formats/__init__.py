"""The wire formats the service understands: a table of contents."""

from app.ingest.formats.base import WireFormat
from app.ingest.formats.ga4 import GA4, GA4_VALIDATION
from app.ingest.formats.ga4_collect import GA4_COLLECT
from app.ingest.formats.matomo import MATOMO
from app.ingest.formats.native import NATIVE
from app.ingest.formats.plausible import PLAUSIBLE
from app.ingest.formats.posthog import POSTHOG
from app.ingest.formats.segment import SEGMENT
from app.ingest.formats.shopify import SHOPIFY
from app.ingest.formats.umami import UMAMI
from app.ingest.formats.woocommerce import WOOCOMMERCE

FORMATS: tuple[WireFormat, ...] = (
    NATIVE,
    SEGMENT,
    SHOPIFY,
    WOOCOMMERCE,
    GA4,
    GA4_VALIDATION,
    GA4_COLLECT,
    MATOMO,
    POSTHOG,
    PLAUSIBLE,
    UMAMI,
)
