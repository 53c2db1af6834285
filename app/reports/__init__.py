"""The reports: each one scans, matches and shapes; REPORTS is the table of contents."""

from app.reports.base import Report
from app.reports.funnel import FUNNEL
from app.reports.stages import STAGES

REPORTS: tuple[Report, ...] = (FUNNEL, STAGES)
