"""From candidates to scores and to tables of them: what to do, the worker, who computes, the loop, the store.

The steps of rank.py stand here too. Statistics are in analysis/, accuracies in truth/.
"""
