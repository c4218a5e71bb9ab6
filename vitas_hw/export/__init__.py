"""Plain models as files for other runtimes."""
