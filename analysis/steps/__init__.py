"""The steps of the commands on top: the only library files of analysis that may import benchmarks or search.

Not here: what they order (stats, pictures, pages, validation), which knows of rows alone and stays a leaf for others.
"""
