"""Runs as one HTML page that needs nothing but a browser.

Every chart is in the page as an SVG image, so that it is whole without a network, without
scripts and on paper. Needs the extra ``balenas-core[report]``.
"""

from balenas_core.report._write import render_report as render_report, write_report as write_report

__all__ = ["render_report", "write_report"]
