"""Whether what a machine has is sound: its tables, its stores, what it computes; and the steps of data.py."""
