"""From candidates to scores: what to do, the worker, who computes, the loop, the store. No tables, no accuracies."""
