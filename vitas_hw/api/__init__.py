"""What ``import vitas_hw as vh`` offers beyond single classes and loaders: runs, and the parts of a run alone."""
