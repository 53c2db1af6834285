"""The named steps an event goes through between decoding and storage: a list one can read aloud."""

from app.ingest.pipeline import Step
from app.ingest.steps.check_time import check_time
from app.ingest.steps.correct_clock import correct_clock

STEPS: tuple[tuple[str, Step], ...] = (
    ("correct_clock", correct_clock),
    ("check_time", check_time),
)
