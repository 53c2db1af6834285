"""The named steps an event goes through between decoding and storage: a list one can read aloud."""

from app.ingest.pipeline import Step
from app.ingest.steps.add_context import add_context
from app.ingest.steps.check_time import check_time
from app.ingest.steps.correct_clock import correct_clock
from app.ingest.steps.redact import redact
from app.ingest.steps.refuse_customer import refuse_customer
from app.ingest.steps.strip_urls import strip_urls

STEPS: tuple[tuple[str, Step], ...] = (
    ("correct_clock", correct_clock),
    ("check_time", check_time),
    ("refuse_customer", refuse_customer),
    ("strip_urls", strip_urls),
    ("redact", redact),
    ("add_context", add_context),
)
