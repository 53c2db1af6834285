"""The formats that `footfall import` reads."""

from pathlib import Path

from app.importers.base import Importer, ImportFailed
from app.importers.csv import CsvImporter
from app.importers.csv_mapping import read_mapping
from app.importers.ga4 import GA4
from app.importers.ndjson import NDJSON

IMPORTERS: tuple[Importer, ...] = (GA4, NDJSON)
IMPORT_NAMES = (*(importer.name for importer in IMPORTERS), CsvImporter.name)


def importer_of(name: str, mapping: Path | None) -> Importer:
    """mapping: the file that CSV is read by, and no other format. Raises ImportFailed."""
    if name == CsvImporter.name:
        if mapping is None:
            raise ImportFailed("A CSV file needs --mapping FILE, which says what its columns mean.")
        return CsvImporter(read_mapping(mapping))
    importer = next((importer for importer in IMPORTERS if importer.name == name), None)
    if importer is None:
        raise ImportFailed(f"{name!r} can't be imported; there are {', '.join(IMPORT_NAMES)}.")
    if mapping is not None:
        raise ImportFailed(f"--mapping is for csv; {name} needs none.")
    return importer
