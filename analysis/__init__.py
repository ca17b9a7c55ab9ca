"""Statistics, tables and figures over rows of scores. It reads rows, never networks; the steps of its commands do."""
