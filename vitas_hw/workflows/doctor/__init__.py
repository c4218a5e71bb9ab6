"""What a machine can measure, what is missing for the rest, and which of its parts do not fit together."""
