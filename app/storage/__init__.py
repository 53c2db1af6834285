"""Postgres: connections, schema, and the statements that read and write it."""
