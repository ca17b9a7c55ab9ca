"""What a proxy looks through: the network contract, the passes over it, the Probe that shows them, their cost."""
