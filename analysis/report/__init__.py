"""The report: one self-contained page, with its tables and figures as files beside it."""

from analysis.report.writing import write_report

__all__ = ["write_report"]
