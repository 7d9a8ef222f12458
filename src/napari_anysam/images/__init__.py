"""From an nD array to what a network eats."""
