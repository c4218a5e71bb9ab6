"""The machines of a Ray cluster: as devices to measure on, and as workers that evaluate subnets."""
