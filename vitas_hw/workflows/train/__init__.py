"""Training a supernet, and retraining one subnet."""
