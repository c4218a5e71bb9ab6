"""Profiling a device, on this machine or elsewhere."""
