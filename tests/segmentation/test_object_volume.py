"""Masks on the planes of any axis as a block of voxels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_anysam.segmentation.object_volume import ObjectVolume, joined_box
from napari_anysam.segmentation.windows import tight_window

volumes = arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=6)).filter(np.any)


def seen_along(voxels, axis):
    windows = {
        plane: tight_window(mask)
        for plane, mask in enumerate(np.moveaxis(voxels, axis, 0))
        if mask.any()
    }
    return ObjectVolume(axis, windows)


@given(voxels=volumes, axis=st.integers(0, 2))
def test_a_block_holds_the_same_voxels(voxels, axis):
    one = seen_along(voxels, axis)
    box = one.box
    np.testing.assert_array_equal(one.block(box), voxels[box])
    assert np.count_nonzero(voxels[box]) == np.count_nonzero(voxels)
    whole = tuple(slice(0, size) for size in voxels.shape)
    np.testing.assert_array_equal(one.block(whole), voxels)


@given(voxels=volumes)
def test_all_axes_see_the_same(voxels):
    boxes = [seen_along(voxels, axis).box for axis in range(3)]
    assert boxes[0] == boxes[1] == boxes[2] == joined_box(boxes)


@given(voxels=volumes, planes=st.sets(st.integers(0, 6)))
def test_some_planes_of_it(voxels, planes):
    part = seen_along(voxels, 0).on(planes)
    kept = voxels.copy()
    kept[[plane for plane in range(len(voxels)) if plane not in planes]] = False
    assert (part is None) == (not kept.any())
    if part is not None:
        np.testing.assert_array_equal(part.block(part.box), kept[part.box])
