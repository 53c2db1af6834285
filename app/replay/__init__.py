"""Takes refused events through ingestion once more, mended where that is asked for."""
