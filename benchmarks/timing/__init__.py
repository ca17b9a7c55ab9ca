"""How benchmarks/speed.py measures, and the plain networks and loops of others that it measures against."""
