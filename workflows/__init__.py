"""Jobflow Makers, the campaign graph and its execution."""
