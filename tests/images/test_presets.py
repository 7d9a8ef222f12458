"""Contrast windows of radiology."""

from __future__ import annotations

import numpy as np
import pytest

from napari_anysam.errors import ImageError
from napari_anysam.images.planes import Planes
from napari_anysam.images.presets import CT_WINDOWS, mr_window


def test_ct_windows_are_given_by_width_and_level():
    limits = {window.name: window.limits for window in CT_WINDOWS}
    assert limits["lung"] == (-1350, 150)
    assert limits["abdomen"] == (-160, 240)
    assert limits["bone"] == (-500, 1300)
    assert len(limits) == len(CT_WINDOWS)


def test_the_background_of_an_mr_volume_does_not_count():
    volume = np.zeros((20, 30, 30), np.float32)
    volume[:, 10:20, 10:20] = np.linspace(100, 200, 100).reshape(10, 10)
    volume[0, 0, 0] = np.nan
    assert mr_window(Planes(volume)) == pytest.approx((100.5, 199.5), abs=0.6)


def test_an_empty_mr_volume_is_refused():
    with pytest.raises(ImageError, match="no pixel above zero"):
        mr_window(Planes(np.zeros((3, 4, 4))))
