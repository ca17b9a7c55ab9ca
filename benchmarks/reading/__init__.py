"""Whatever comes from outside: limits of size, and pickles that are read without running them. Not what they mean."""
