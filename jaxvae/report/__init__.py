"""Runs as one HTML page that needs nothing else."""

from jaxvae.report.page import make_report as make_report
