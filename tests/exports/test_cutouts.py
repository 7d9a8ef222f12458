"""Cut-outs: the image inside the mask, transparent outside."""

from __future__ import annotations

import numpy as np
import pytest
from label_scenes import names, plane, stack
from PIL import Image

from napari_anysam import export_labels
from napari_anysam.errors import LabelFileError

RGB = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)


def read(path):
    with Image.open(path) as picture:
        assert picture.mode == "RGBA"
        return np.asarray(picture)


def test_every_object_is_a_picture_with_its_mask_as_alpha(tmp_path):
    path = export_labels(plane(), tmp_path / "cuts", format="cutouts", image=RGB)
    assert names(path) == [f"object_{one:05d}.png" for one in (3, 7, 9, 70000)]
    for one in (3, 7, 9, 70000):
        rows, columns = np.nonzero(plane() == one)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        picture = read(path / f"object_{one:05d}.png")
        np.testing.assert_array_equal(picture[..., 3], 255 * (plane()[box] == one))
        np.testing.assert_array_equal(picture[..., :3], RGB[box])


def test_a_margin_ends_at_the_border_of_the_image(tmp_path):
    path = export_labels(plane(), tmp_path / "cuts", format="cutouts", image=RGB, margin=4)
    picture = read(path / "object_00007.png")  # rows 2 to 39, columns 40 to 49
    np.testing.assert_array_equal(picture[..., :3], RGB[:, 36:])
    np.testing.assert_array_equal(picture[..., 3] > 0, plane()[:, 36:] == 7)


def test_objects_of_a_stack_are_cut_plane_by_plane(tmp_path, kind):
    image = np.random.default_rng(0).integers(0, 60000, stack().shape).astype(np.uint16)
    path = export_labels(
        kind(stack()), tmp_path / "cuts", format="cutouts", image=kind(image), contrast=(0, 60000)
    )
    assert [name for name in names(path) if "00007" in name] == [
        f"object_00007_z{index:04d}.png" for index in (0, 3, 4)
    ]
    picture = read(path / "object_00003_z0004.png")
    shown = picture[picture[..., 3] > 0, 0]
    expected = image[4][stack()[4] == 3] / 60000 * 255
    np.testing.assert_allclose(shown, expected, atol=0.51)


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "give it"), ({"image": RGB, "margin": -1}, "0 or more pixels")],
)
def test_what_does_not_fit_is_refused(tmp_path, options, message):
    with pytest.raises(LabelFileError, match=message):
        export_labels(plane(), tmp_path / "cuts", format="cutouts", **options)
    assert not list(tmp_path.iterdir())
