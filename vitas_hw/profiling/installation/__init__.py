"""What is installed for GPUs, and what of it does not fit together."""
