"""Data, and the training of supernets and plain models."""
