"""The report of a campaign: one HTML page that needs no network and no other file."""

from .page import write_report

__all__ = ["write_report"]
