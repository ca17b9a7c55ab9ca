"""What a proxy looks through: the contract that networks keep, the passes over them, the Probe that shows these, their cost.

No network is built here, and no score is computed: those stand in benchmarks/spaces and in the measures one floor up.
"""
