"""Regions are read alone, from the level that suits, and lie where they were seen."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anysam.images.conditioning import Conditioning, resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation import plane_pixels
from napari_anysam.segmentation.plane_pixels import WindowedPlane
from napari_anysam.segmentation.regions import Region

AS_IT_IS = Conditioning(((0, 255),))
SIDE = 64


def pyramid(shape, levels=4):
    """Return levels whose every pixel is the mean of the four above it, as floor of odd sizes."""
    first = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    found = [first]
    for _ in range(levels - 1):
        last = found[-1]
        height, width = (size // 2 * 2 for size in last.shape)
        found.append(last[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3)))
    return found


@st.composite
def planes_and_regions(draw):
    shape = draw(st.integers(1, 700)), draw(st.integers(1, 700))
    height, width = draw(st.integers(1, shape[0])), draw(st.integers(1, shape[1]))
    row, column = draw(st.integers(0, shape[0] - height)), draw(st.integers(0, shape[1] - width))
    return shape, Region(row, column, height, width)


@given(planes_and_regions())
@settings(max_examples=60, deadline=None)
def test_a_fitted_region_holds_what_was_wanted_and_is_read_in_full(drawn):
    shape, wanted = drawn
    plane = WindowedPlane(Planes.single(pyramid(shape)), AS_IT_IS)
    fitted = plane.fitted(wanted, SIDE)
    assert plane.fitted(fitted, SIDE) == fitted
    assert fitted.contains_box(
        (wanted.row, wanted.column, wanted.row + wanted.height, wanted.column + wanted.width)
    )
    assert Region.whole(shape).contains_box(
        (fitted.row, fitted.column, fitted.row + fitted.height, fitted.column + fitted.width)
    )
    pixels = plane.read(fitted, SIDE)
    scale = fitted.height / pixels.shape[0]
    assert min(pixels.shape) > 0
    # No coarser than the network sees, but for the pixel that a level ends before its plane.
    assert max(pixels.shape) >= min(SIDE, max(fitted.shape)) - 1
    assert scale < 9


def test_a_region_is_read_from_the_coarsest_level_that_is_fine_enough():
    levels = pyramid((1024, 1024))
    plane = WindowedPlane(Planes.single(levels), AS_IT_IS)
    region = plane.fitted(Region(101, 203, 300, 300), SIDE)
    assert region == Region(100, 200, 304, 304)
    expected = AS_IT_IS.apply(levels[2][25:101, 50:126])
    np.testing.assert_array_equal(plane.read(region, SIDE), expected)


def test_levels_of_another_shape_or_that_skip_planes_are_left_alone():
    stack = [np.zeros(shape, np.uint8) for shape in [(8, 64, 64), (8, 32, 32), (4, 16, 16)]]
    assert Planes(stack).scales == (1, 2)
    uneven = [np.zeros(shape, np.uint8) for shape in [(64, 64), (32, 16), (21, 22), (8, 8)]]
    assert Planes.single(uneven).scales == (1, 3, 8)
    assert Planes.single(uneven[0]).scales == (1,)


def test_a_large_region_without_a_pyramid_is_averaged_strip_by_strip(monkeypatch):
    monkeypatch.setattr(plane_pixels, "MOST_PIXELS", 400)
    monkeypatch.setattr(plane_pixels, "_STRIP_PIXELS", 300)
    image = np.random.default_rng(1).integers(0, 256, (90, 61), dtype=np.uint8)
    asked = []

    class Watched:
        shape, ndim, dtype = image.shape, 2, image.dtype

        def __getitem__(self, key):
            part = image[key]
            asked.append(part.size)
            return part

    plane = WindowedPlane(Planes.single(Watched()), AS_IT_IS)
    region = plane.fitted(Region(0, 0, 90, 61), SIDE)
    pixels = plane.read(region, SIDE)
    assert pixels.shape == (23, 16, 3)
    assert max(asked) <= 300
    assert pixels[3, 5, 0] == pytest.approx(image[12:16, 20:24].mean(), abs=0.5)
    assert pixels[22, 15, 1] == pytest.approx(image[88:, 60:].mean(), abs=0.5)


def test_contrast_of_a_pyramid_is_found_in_a_coarse_level():
    asked = []

    def block(block_info):
        asked.append(block_info[None]["array-location"])
        (top, bottom), (left, right) = asked[-1]
        return np.full((bottom - top, right - left), 7, np.uint16)

    fine = da.map_blocks(
        block, chunks=((1000,) * 40, (1000,) * 40), dtype=np.uint16, meta=np.zeros(0, np.uint16)
    )
    coarse = np.arange(625, dtype=np.uint16).reshape(25, 25).repeat(50, 0).repeat(50, 1)
    window = resolve_conditioning(Planes.single([fine, coarse])).windows[0]
    assert asked == []
    assert window == (3.0, 621.0)


def test_contrast_of_a_huge_plane_without_a_pyramid_is_found_in_patches(monkeypatch):
    from napari_anysam.images import following

    monkeypatch.setattr(following, "LARGEST_THINNED", 10**4)
    monkeypatch.setattr(following, "SAMPLED_PIXELS", 10**4)
    image = np.random.default_rng(2).integers(100, 200, (2000, 1500), dtype=np.uint16)
    read = []

    class Watched:
        shape, ndim, dtype = image.shape, 2, image.dtype

        def __getitem__(self, key):
            part = image[key]
            read.append(part.size)
            return part

    low, high = resolve_conditioning(Planes.single(Watched())).windows[0]
    assert sum(read) <= 10**4
    assert (low, high) == pytest.approx((100, 199), abs=1)
