"""How benchmarks/speed.py measures, a mode a file, and the plain networks of others that it measures against.

The modes that train and search are in search/timing.
"""
