"""The modes of benchmarks/speed.py, among them those that need this room: steps of training, searches."""
