"""Models that need torch: potentials."""
