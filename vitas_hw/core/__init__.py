"""What every room stands on: subnets, operators, spaces, budgets, targets. Standard library and numpy only."""
