"""From scores to tables of how well they rank: the summary of a run, and what a proxy is. No scoring."""
