"""What a proxy looks through: the contract that networks keep, the passes over them, their cost, and the Probe itself.

No network is built here, and no score is computed: those stand in benchmarks/spaces and in the measures one floor up.
"""
