"""The wire formats the service understands: a table of contents."""

from app.ingest.formats.base import WireFormat
from app.ingest.formats.native import NATIVE

FORMATS: tuple[WireFormat, ...] = (NATIVE,)
