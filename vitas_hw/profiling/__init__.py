"""Measuring subnets on real devices."""
