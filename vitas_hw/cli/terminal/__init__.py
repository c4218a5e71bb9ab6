"""What the commands print, and where it goes."""
