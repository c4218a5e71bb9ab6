"""Exporting a subnet, each file checked against the model."""
