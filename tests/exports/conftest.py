"""The same labels as every kind of array."""

from __future__ import annotations

import pytest
from label_scenes import KINDS


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    """Bring an array to numpy, dask or zarr."""
    return KINDS[request.param]
