"""Labelled images in three parts: train, search, test."""
