"""How benchmarks/speed.py measures, a mode a file, and the plain networks of others that it measures against."""
