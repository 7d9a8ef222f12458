"""The CSV table: the numbers of scikit-image, for any kind of array."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from label_scenes import plane, stack
from skimage.measure import regionprops

from napari_anysam import export_labels
from napari_anysam.errors import AnySAMError, LabelFileError
from napari_anysam.export.objects import read_objects

IDS = [3, 7, 9, 70000]


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(row, *columns):
    return [float(row[column]) for column in columns]


def truth(labels, image=None):
    """Measure the whole at once, its ids made small."""
    small = np.searchsorted([0, *IDS], labels)
    return {IDS[one.label - 1]: one for one in regionprops(small, image)}


def test_a_plane_is_measured_as_by_scikit_image(tmp_path, kind):
    image = np.random.default_rng(0).normal(size=plane().shape)
    path = export_labels(kind(plane()), tmp_path / "a.csv", image=kind(image))
    rows = rows_of(path)
    assert [int(row["id"]) for row in rows] == IDS
    for row in rows:
        one = truth(plane(), image)[int(row["id"])]
        assert float(row["pixels"]) == one.area
        np.testing.assert_allclose(numbers(row, "centroid_y", "centroid_x"), one.centroid)
        box = numbers(row, "y_start", "x_start", "y_stop", "x_stop")
        assert box == list(one.bbox)
        np.testing.assert_allclose(
            numbers(row, "intensity_mean_0", "intensity_min_0", "intensity_max_0"),
            [one.intensity_mean, one.intensity_min, one.intensity_max],
        )


def test_planes_of_a_stack_add_up(tmp_path, kind):
    image = np.random.default_rng(0).integers(0, 65535, (5, 2, 40, 50)).astype(np.uint16)
    path = export_labels(
        kind(stack()),
        tmp_path / "a.csv",
        image=image,
        channel_axis=1,
        scale=(2, 0.5, 0.25),
        units="um",
    )
    rows = rows_of(path)
    assert [int(row["id"]) for row in rows] == IDS
    for row in rows:
        one = truth(stack(), np.moveaxis(image, 1, -1))[int(row["id"])]
        assert float(row["pixels"]) == one.area
        assert float(row["size"]) == one.area * 0.25
        assert row["size_unit"] == "micrometer^3"
        np.testing.assert_allclose(
            numbers(row, "centroid_z", "centroid_y", "centroid_x"), one.centroid
        )
        first, y_start, x_start, stop, y_stop, x_stop = one.bbox
        assert numbers(row, "first_plane", "last_plane") == [first, stop - 1]
        assert numbers(row, "y_start", "x_start", "y_stop", "x_stop") == [
            y_start,
            x_start,
            y_stop,
            x_stop,
        ]
        for channel in range(2):
            columns = [f"intensity_{name}_{channel}" for name in ("mean", "min", "max")]
            np.testing.assert_allclose(
                numbers(row, *columns),
                [
                    one.intensity_mean[channel],
                    one.intensity_min[channel],
                    one.intensity_max[channel],
                ],
            )
    assert [row["planes"] for row in rows] == ["4", "3", "4", "4"]


def test_a_time_series_has_a_row_per_object_and_time(tmp_path):
    labels = np.stack([stack(), stack() * (stack() == 3)])
    path = export_labels(labels, tmp_path / "a.csv", axes="TZYX")
    found = [(row["id"], row["t"], row["planes"]) for row in rows_of(path)]
    assert found == [
        ("3", "0", "4"),
        ("7", "0", "3"),
        ("9", "0", "4"),
        ("70000", "0", "4"),
        ("3", "1", "4"),
    ]
    path = export_labels(stack(), tmp_path / "b.csv", axes="TYX", scale=(1, 2), units="nm")
    rows = rows_of(path)
    assert [row["t"] for row in rows if row["id"] == "7"] == ["0", "3", "4"]
    assert rows[0]["size_unit"] == "nanometer^2"
    assert "planes" not in rows[0]


def test_five_dimensions_with_channels_are_measured(tmp_path):
    labels = np.stack([stack(), stack()])[:, None]
    image = np.random.default_rng(0).random((2, 3, 5, 40, 50))
    path = export_labels(labels[:, 0], tmp_path / "a.csv", axes="TZYX", image=image, channel_axis=1)
    row = rows_of(path)[4]
    assert (row["id"], row["t"]) == ("3", "1")
    expected = image[1, 2][stack() == 3]
    np.testing.assert_allclose(float(row["intensity_mean_2"]), expected.mean())


def test_an_rgb_image_is_measured_by_channel(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 4)).astype(np.uint8)
    path = export_labels(plane(), tmp_path / "a.csv", image=image)
    row = rows_of(path)[0]
    assert float(row["intensity_max_1"]) == image[plane() == 3, 1].max()
    assert "intensity_max_3" not in row  # alpha


def test_empty_labels_are_a_table_without_rows(tmp_path):
    path = export_labels(plane() * 0, tmp_path / "a.csv", image=plane())
    assert path.read_text().startswith("id,name,pixels")
    assert rows_of(path) == []


def test_a_table_tells_classes_scores_and_models_and_is_read_back(tmp_path):
    path = export_labels(
        plane(),
        tmp_path / "a.csv",
        object_classes={3: "ring, thick", 7: "größer"},
        object_scores={3: 0.5},
        object_models={9: "anysam-nano"},
    )
    found = read_objects(path)
    assert found.classes == {3: "ring, thick", 7: "größer", 9: "object", 70000: "object"}
    assert found.class_names == ("ring, thick", "größer", "object")
    assert found.scores == {3: 0.5}
    assert found.models == {9: "anysam-nano"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column 'id'"),
        ("", "no column 'id'"),
        ("id,name\nx,cell\n", "line 2: 'x' is no number"),
        ("id,score\n1,high\n", "line 2: 'high' is no number"),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused(tmp_path, text, message):
    path = tmp_path / "classes.csv"
    path.write_text(text)
    with pytest.raises(LabelFileError, match=message):
        read_objects(path)


def test_a_missing_or_foreign_table_is_refused(tmp_path):
    with pytest.raises(LabelFileError, match="No such file"):
        read_objects(tmp_path / "gone.csv")
    (tmp_path / "a.csv").write_bytes(b"id,name\n1,\xff\n")
    with pytest.raises(LabelFileError, match="UTF-8"):
        read_objects(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("image", "channel_axis", "message"),
    [
        (np.zeros((40, 51)), None, "give the image that was segmented"),
        (np.zeros((3, 40, 50)), None, "channel_axis"),
        (np.zeros((3, 4, 40, 50)), 0, "slice the others away"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(tmp_path, image, channel_axis, message):
    with pytest.raises(AnySAMError, match=message):
        export_labels(plane(), tmp_path / "a.csv", image=image, channel_axis=channel_axis)


def test_an_image_with_unnamed_channels_is_refused(tmp_path):
    with pytest.raises(LabelFileError, match="name it"):
        export_labels(stack(), tmp_path / "a.csv", image=np.zeros((2, 5, 40, 50)))


@pytest.mark.parametrize("dtype", [bool, np.float16])
def test_images_of_few_bits_are_measured_exactly(tmp_path, dtype):
    image = (np.random.default_rng(0).random(plane().shape) * 3000).astype(dtype)
    path = export_labels(plane(), tmp_path / "a.csv", image=image)
    row = rows_of(path)[0]
    values = image[plane() == 3].astype(np.float64)
    found = numbers(row, "intensity_mean_0", "intensity_min_0", "intensity_max_0")
    np.testing.assert_allclose(found, [values.mean(), values.min(), values.max()], rtol=1e-9)
