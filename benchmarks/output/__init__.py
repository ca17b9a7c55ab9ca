"""What a command shares with the others: options, errors, what it prints and leaves. It knows nothing of scores."""
