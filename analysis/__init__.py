"""Statistics, tables and figures over rows of scores. Reads rows, never networks."""
