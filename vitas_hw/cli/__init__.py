"""The ``vitas-hw`` command: parse, call a workflow, print."""
