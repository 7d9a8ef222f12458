"""Which models exist, where their weights lie, and what a checkpoint file holds."""
