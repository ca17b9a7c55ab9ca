"""What a command shares with the others: its options, errors, tables, and what it leaves beside its results."""
