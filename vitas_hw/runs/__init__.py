"""A run's directory: its files by name, and what a word means as a subnet of it."""
