"""Score tables: scores as one small file, to be shared and used in place of scoring. The store is in scoring/."""
