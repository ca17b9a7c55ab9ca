"""Statistics over arrays of scores and accuracies: numpy, scipy and pandas only. Not here: tables on disk, pictures."""
