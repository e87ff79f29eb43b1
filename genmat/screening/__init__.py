"""The funnel's decisions: pure functions from structures and numbers to verdicts."""
