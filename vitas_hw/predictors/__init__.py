"""Latency predictors: learned from the measurements of one target, kept as plain JSON."""
