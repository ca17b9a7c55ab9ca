"""Statistics over arrays of scores and accuracies: numpy, scipy and pandas only. Not here: files, tables, pictures."""
