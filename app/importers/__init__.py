"""The formats that `footfall import` reads."""

from app.importers.base import Importer
from app.importers.ga4 import GA4
from app.importers.ndjson import NDJSON

IMPORTERS: tuple[Importer, ...] = (GA4, NDJSON)
