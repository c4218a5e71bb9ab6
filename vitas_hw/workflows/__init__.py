"""What the command line and a notebook both call: profile, train, search, export as plain functions."""
