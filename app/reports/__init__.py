"""The reports: each one scans, matches and shapes; REPORTS is the table of contents."""

from app.reports.base import Report
from app.reports.funnel import FUNNEL
from app.reports.funnel.drop_off import DROP_OFF
from app.reports.funnel.explain import EXPLAIN
from app.reports.funnel.people import PEOPLE
from app.reports.journey import JOURNEY
from app.reports.links import LINKS
from app.reports.loss import LOSS
from app.reports.revenue import REVENUE
from app.reports.stages import STAGES

REPORTS: tuple[Report, ...] = (FUNNEL, STAGES, PEOPLE, DROP_OFF, EXPLAIN, JOURNEY, LINKS, REVENUE, LOSS)
