"""Images from files: what is read, what its axes are called, and what is refused."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_anysam.errors import ImageError
from napari_anysam.images import files
from napari_anysam.images.files import ImageFile, read_image, read_levels
from napari_anysam.images.planes import Planes

STACK = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)


def contents(image):
    return np.asarray(image.array[...])


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff(tmp_path, byteorder, compression):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, byteorder=byteorder, compression=compression)
    np.testing.assert_array_equal(contents(read_image(path)), STACK)


def test_plain_tiff_planes_are_mapped_and_not_read(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK)
    assert isinstance(read_image(path).array, np.memmap)


def test_large_compressed_tiff_decodes_only_the_asked_page(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "READ_AT_ONCE_BYTES", 16)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, compression="zlib", photometric="minisblack")
    _damage_first_page(path)
    planes = Planes(read_image(path).array)
    np.testing.assert_array_equal(planes.read(2), STACK[2])
    with pytest.raises(ImageError, match="Plane 0 could not be read"):
        planes.read(0)


def _damage_first_page(path):
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = b"\xff" * count
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("kind", "axes", "shape", "channel_axis"),
    [
        ({"imagej": True}, "ZCYX", (4, 2, 5, 6), 1),
        ({"ome": True}, "CZYX", (2, 4, 5, 6), 0),
        ({"ome": True}, "TYX", (4, 5, 6), None),
    ],
)
def test_tiff_axes_come_from_the_file(tmp_path, kind, axes, shape, channel_axis):
    path = tmp_path / "named.tif"
    tifffile.imwrite(path, np.zeros(shape, np.uint16), metadata={"axes": axes}, **kind)
    image = read_image(path)
    assert (image.axes, image.array.shape, image.channel_axis) == (axes, shape, channel_axis)


def test_two_channel_axes_name_none():
    assert ImageFile(np.zeros((2, 4, 4, 3)), "CYXS").channel_axis is None


def test_tiff_pyramid_levels(tmp_path):
    path = tmp_path / "pyramid.tif"
    large = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    with tifffile.TiffWriter(path) as writer:
        writer.write(large, subifds=1, tile=(16, 16))
        writer.write(large[::2, ::2], subfiletype=1, tile=(16, 16))
    np.testing.assert_array_equal(contents(read_image(path, level=1)), large[::2, ::2])
    with pytest.raises(ImageError, match="levels 0 to 1"):
        read_image(path, level=2)
    assert [level.shape for level in read_levels(path)] == [(64, 64), (32, 32)]


def test_png_keeps_sixteen_bits(tmp_path):
    path = tmp_path / "image.PNG"
    iio.imwrite(path, STACK[0] * 300, extension=".png")
    image = read_image(path)
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.array, STACK[0] * 300)


@pytest.mark.parametrize(
    ("mode", "ending", "shape"),
    [
        ("RGB", ".png", (5, 6, 3)),
        ("RGBA", ".png", (5, 6, 4)),
        ("LA", ".png", (5, 6)),
        ("P", ".png", (5, 6, 3)),
        ("L", ".jpg", (5, 6)),
        ("CMYK", ".jpeg", (5, 6, 3)),
    ],
)
def test_picture_modes(tmp_path, mode, ending, shape):
    path = tmp_path / f"picture{ending}"
    Image.new(mode, (6, 5)).save(path)
    assert read_image(path).array.shape == shape


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_array_and_group_with_one_array(tmp_path, zarr_format):
    group = zarr.open_group(tmp_path / "store.zarr", mode="w", zarr_format=zarr_format)
    group.create_array("raw", data=STACK)
    for path in (tmp_path / "store.zarr" / "raw", tmp_path / "store.zarr"):
        image = read_image(path)
        assert isinstance(image.array, zarr.Array)
        np.testing.assert_array_equal(contents(image), STACK)


def test_zarr_group_with_two_arrays_asks_which(tmp_path):
    group = zarr.open_group(tmp_path / "store.zarr", mode="w")
    group.create_array("raw", data=STACK)
    group.create_array("labels", data=STACK)
    with pytest.raises(ImageError, match=r"2 arrays \(labels, raw\)"):
        read_image(tmp_path / "store.zarr")


@pytest.fixture(params=["0.4", "0.5"])
def ome_zarr(request, tmp_path):
    path = tmp_path / "image.ome.zarr"
    version = request.param
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("s0", data=STACK[None, :, None])
    group.create_array("s1", data=STACK[None, :, None, ::2, ::2])
    multiscales = [
        {
            "version": version,
            "axes": [{"name": name} for name in "tczyx"],
            "datasets": [{"path": "s0"}, {"path": "s1"}],
        }
    ]
    if version == "0.4":
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    return path


@pytest.mark.parametrize(("level", "step"), [(0, 1), (1, 2)])
def test_ome_zarr_levels_without_axes_of_length_one(ome_zarr, level, step):
    image = read_image(ome_zarr, level)
    assert image.axes == "CYX"
    np.testing.assert_array_equal(contents(image), STACK[:, ::step, ::step])


def test_ome_zarr_has_no_third_level(ome_zarr):
    with pytest.raises(ImageError, match="levels 0 to 1"):
        read_image(ome_zarr, 2)


def test_all_levels_are_opened_from_one_on(ome_zarr, tmp_path):
    levels = read_levels(ome_zarr)
    assert len(levels) == 2
    for level, step in zip(levels, (1, 2), strict=True):
        np.testing.assert_array_equal(np.asarray(level), STACK[:, ::step, ::step])
    assert len(read_levels(ome_zarr, 1)) == 1
    np.save(tmp_path / "flat.npy", STACK)
    assert len(read_levels(tmp_path / "flat.npy")) == 1


def test_an_image_inside_a_converted_series(ome_zarr):
    parent = ome_zarr.parent / "converted.zarr"
    fmt = 2 if (ome_zarr / ".zgroup").exists() else 3
    zarr.open_group(parent, mode="w", zarr_format=fmt).attrs["bioformats2raw.layout"] = 3
    ome_zarr.rename(parent / "0")
    assert read_image(parent).axes == "CYX"


def _empty_folder(path):
    path.mkdir()


def _empty_file(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("this is no image")


def _truncated(path):
    tifffile.imwrite(path.with_suffix(".full"), STACK, compression="zlib")
    path.write_bytes(path.with_suffix(".full").read_bytes()[:300])


def _missing(path):
    pass


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("gone.tif", _missing, "There is no file"),
        ("empty.tif", _empty_file, "could not be read"),
        ("text.tif", _text, "could not be read"),
        ("cut.tif", _truncated, "could not be read"),
        ("text.png", _text, "could not be read"),
        ("empty.jpg", _empty_file, "could not be read"),
        ("image.czi", _text, "convert it to TIFF"),
        ("empty.zarr", _empty_folder, "no Zarr"),
    ],
)
def test_what_cannot_be_read_names_file_and_remedy(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_a_level_of_a_picture_is_refused(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="one resolution level"):
        read_image(tmp_path / "a.png", 1)


def test_numpy_files_are_mapped(tmp_path):
    np.save(tmp_path / "image.npy", STACK)
    image = read_image(tmp_path / "image.npy")
    assert isinstance(image.array, np.memmap)
    np.testing.assert_array_equal(image.array, STACK)


def test_numpy_files_that_hold_objects_are_refused(tmp_path):
    np.save(tmp_path / "image.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ImageError, match="could not be read"):
        read_image(tmp_path / "image.npy")


def test_pixel_sizes_of_an_ome_tiff_grow_with_the_level(tmp_path):
    path = tmp_path / "pyramid.ome.tif"
    large = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
    sizes = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(large, subifds=1, tile=(16, 16), metadata=sizes)
        writer.write(large[::2, ::2], subfiletype=1, tile=(16, 16))
    assert read_image(path).scale == (0.25, 0.5)
    assert read_image(path, level=1).scale == (0.5, 1.0)
    assert read_image(path).units == ("µm", "µm")


def test_files_without_pixel_sizes_tell_none(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", STACK)
    tifffile.imwrite(tmp_path / "ome.tif", STACK, ome=True)
    assert read_image(tmp_path / "plain.tif").scale is None
    assert read_image(tmp_path / "ome.tif").scale is None
