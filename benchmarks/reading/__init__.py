"""Whatever comes from outside: limits of size, and pickles that are read without running them. What they mean is read elsewhere."""
