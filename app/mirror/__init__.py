"""The columnar copy of all events that reports read: a DuckDB file, disposable, rebuilt from Postgres at will."""
