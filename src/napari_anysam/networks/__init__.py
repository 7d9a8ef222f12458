"""The networks, one file per family, all of them behind one protocol."""
