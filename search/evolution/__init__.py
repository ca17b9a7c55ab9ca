"""Searching a space for a student by a proxy: strategies, fitness, the loop, how fast it is. Not here: any training."""
