"""The report card of a run as one offline page, and its first steps once more to compare."""

CARD, KEPT = "report.html", "report"
"""In the run's folder: the card, and the folder of what was asked for it."""
