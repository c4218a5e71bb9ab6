"""Searching a space under a budget."""
