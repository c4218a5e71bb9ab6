"""Searching a run's space under a budget."""
