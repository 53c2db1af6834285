"""Compiled passes over columns of numbers; they know nothing of HTTP, SQL or JSON."""
