"""Optimizers: asked for codes, told their top-1."""
