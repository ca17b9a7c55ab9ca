"""Why a correlation differs from a published one: what is published, experiments, forms of proxies only they score.

Not here: the scoring itself, which benchmarks/rank.py does.
"""
