"""What a command shares with the others: options, errors, what it prints, what it leaves. It knows nothing of scores."""
