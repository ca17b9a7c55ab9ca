"""One HTML page: its sections, and what it is made of. Not here: statistics, pictures, the rows themselves."""
