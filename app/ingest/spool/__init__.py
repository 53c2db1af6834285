"""The disk queue for when Postgres is away: `queue` on `recovering` on `file` on `parts`; `sink` and `drain` use it."""
