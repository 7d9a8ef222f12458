"""napari adapters and dock widgets; the only place where Qt and napari are imported."""
