"""An annotation saved, and made again from its prompts alone, value for value."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from gui_scenes import blobs, drifting_disc
from windowless import Work

from napari_anysam._napari import running_mask
from napari_anysam._napari.session_snapshot import snapshot
from napari_anysam._napari.status import Stage
from napari_anysam.cli import main
from napari_anysam.errors import AnySAMWarning, SessionError
from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.segmentation import regions
from napari_anysam.segmentation.interactive import segment
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.segmentation.object_edits import delete_objects, merge_objects
from napari_anysam.segmentation.replay import replay
from napari_anysam.segmentation.session_files import load_session, save_session

FIRST, SECOND = (40, 40), (60, 95)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def annotate(loaded_model):
    """Open images as a user does."""
    opened = []

    def open_image(data, path=None, **options):
        work = Work(data, **options)
        opened.append(work)
        if path is not None:
            work.image._source = work.image.source.model_copy(update={"path": str(path)})
        return work

    yield open_image
    for work in opened:
        work.control.close()


def save(work, folder):
    folder.mkdir(exist_ok=True)
    taken = snapshot(work.control.workspace)
    save_session(folder, taken.session(), taken.labels())
    return load_session(folder)


def correct(work, place, *, positive):
    work.control.point_pressed(positive=positive)
    work.points.add(place)
    work.wait(lambda: work.stage is not Stage.WORKING)


def draw_box(work, *corners):
    work.control.workspace.prompts.shapes.add(np.array(corners), shape_type="rectangle")
    work.wait(lambda: work.stage is not Stage.WORKING)


def annotate_plane(work):
    """Clicks, a correction, another candidate, a box, a brush stroke, and a mask taken back."""
    work.click(FIRST)
    correct(work, (40, 75), positive=False)
    correct(work, (34, 36), positive=True)
    work.control.next_candidate()
    work.control.accept()
    work.click(SECOND)
    work.control.next_candidate()
    correct(work, (52, 90), positive=True)
    work.control.accept()
    work.control.labels.data[5:9, 5:20] = 7
    work.control.labels.data[38:42, 38:42] = 0
    draw_box(work, (42, 78), (42, 112), (78, 112), (78, 78))
    work.control.accept()
    work.keep((20, 110))
    work.control.undo()
    work.wait(lambda: work.stage is not Stage.WORKING)


def test_an_annotation_is_made_again_value_for_value(annotate, tmp_path):
    work = annotate(blobs(), name="discs")
    annotate_plane(work)
    loaded = save(work, tmp_path / "discs.anysam")
    assert len(loaded.session.journal) == 3
    chain = loaded.session.journal[0].writes[0].mask.recipe.asked
    assert [len(one.prompt.points) for one in chain] == [1, 2, 3]
    choices = [
        one.choice for entry in loaded.session.journal for one in entry.writes[0].mask.recipe.asked
    ]
    assert any(choices)
    labels = replay(loaded, work.image.data)
    assert labels.dtype == work.labels.dtype
    assert np.array_equal(labels, work.labels)
    assert set(np.unique(labels)) >= {0, 1, 2, 7}


def test_a_click_on_a_pyramid_is_made_again_from_its_levels_and_what_was_seen(
    annotate, tmp_path, monkeypatch
):
    coarse = blobs()
    levels = [coarse.repeat(8, 0).repeat(8, 1), coarse]
    seen = (100.0, 90.0, 700.0, 900.0)
    monkeypatch.setattr(regions, "HUGE", 500)
    monkeypatch.setattr(running_mask, "visible_box", lambda *_: seen)
    work = annotate(levels, multiscale=True, name="slide")
    work.keep((324, 324))
    loaded = save(work, tmp_path / "slide.anysam")
    (asked,) = loaded.session.journal[0].writes[0].mask.recipe.asked
    assert asked.view == seen
    assert work.labels.any()
    assert np.array_equal(replay(loaded, levels), work.labels)
    prompt, shape = asked.prompt, work.labels.shape
    assert regions.regions_for(prompt, shape, 128, view=seen) != regions.regions_for(
        prompt, shape, 128
    )


def test_masks_are_made_anew_and_not_read_from_the_folder(annotate, tmp_path):
    """With another image in place of the true one, the masks must come out different."""
    work = annotate(blobs(), name="discs")
    work.keep(FIRST)
    loaded = save(work, tmp_path / "discs.anysam")
    from napari_anysam.segmentation import replay as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "check_image", lambda *_: None)
        other = replay(loaded, np.zeros_like(work.image.data))
    assert not np.array_equal(other, work.labels)


def test_each_step_of_a_recipe_counts(annotate, tmp_path):
    """A replay that left out the logits of the step before would give another mask."""
    work = annotate(blobs(), name="discs")
    annotate_plane(work)
    loaded = save(work, tmp_path / "discs.anysam")
    mask = loaded.session.journal[0].writes[0].mask
    object.__setattr__(mask.recipe, "asked", mask.recipe.asked[-1:])
    assert not np.array_equal(replay(loaded, work.image.data), work.labels)


def test_a_mask_is_shaped_as_it_was(annotate, tmp_path):
    """The threshold and the padding of a box belong to how a mask came about."""
    work = annotate(blobs(), name="discs")
    draw_box(work, (24, 24), (24, 56), (56, 56), (56, 24))
    work.control.accept()
    loaded = save(work, tmp_path / "discs.anysam")
    (asked,) = loaded.session.journal[0].writes[0].mask.recipe.asked
    areas = []
    for options in (MaskOptions(), MaskOptions(threshold=3.0), MaskOptions(box_padding=0.1)):
        object.__setattr__(asked, "options", options)
        areas.append(int((replay(loaded, work.image.data) == 1).sum()))
    expected = [
        int(segment(work.image.data, [asked.prompt], contrast=(0, 255), options=options).sum())
        for options in (MaskOptions(), MaskOptions(threshold=3.0), MaskOptions(box_padding=0.1))
    ]
    assert areas == expected
    assert len(set(areas)) == 3


def test_deleted_and_merged_objects_stay_so(annotate, tmp_path):
    work = annotate(blobs(), name="discs")
    work.keep(FIRST)
    work.keep(SECOND)
    work.keep((10, 10))
    session, array = work.control.workspace.session, work.labels
    merge_objects(session, array, [1, 2], into=2)
    delete_objects(session, array, [3])
    loaded = save(work, tmp_path / "discs.anysam")
    assert np.array_equal(replay(loaded, work.image.data), array)
    assert set(loaded.session.kept) == {(2, None)}


def test_a_propagation_is_made_again_after_a_correction_and_a_cancel(annotate, tmp_path):
    stack = drifting_disc()
    work = annotate(stack, name="stack")
    work.viewer.dims.set_point(0, 2)
    work.keep((2, 40, 38))
    work.propagate(first=1, last=5)
    work.labels[3, 38:42, 40:44] = 0
    work.viewer.dims.set_point(0, 5)
    work.control.go_to_object(1)
    draw_box(work, (5, 30, 40), (5, 30, 66), (5, 60, 66), (5, 60, 40))
    work.control.accept()
    work.propagate(first=3, last=6, direction="backward")
    loaded = save(work, tmp_path / "stack.anysam")
    runs = [entry.run for entry in loaded.session.journal if entry.run is not None]
    assert [run.direction for run in runs] == ["both", "backward"]
    assert np.array_equal(replay(loaded, stack), work.labels)
    assert {index for index in range(7) if work.labels[index].any()} >= {1, 2, 3, 4, 5}


def test_a_click_that_corrects_what_a_run_has_drawn_is_made_again(annotate, tmp_path):
    stack = drifting_disc(4)
    work = annotate(stack, name="stack")
    work.viewer.dims.set_point(0, 1)
    work.keep((1, 40, 34))
    work.propagate()
    work.labels[2, :, :38] = 0
    work.viewer.dims.set_point(0, 2)
    work.control.go_to_object(1)
    work.click((2, 40, 30))
    work.control.accept()
    loaded = save(work, tmp_path / "stack.anysam")
    corrected = loaded.session.kept[1, 2].recipe.asked[0].prompt
    assert corrected.mask is not None
    assert corrected.box is not None
    assert np.array_equal(replay(loaded, stack), work.labels)


def test_a_repair_is_made_again_with_what_was_reviewed(annotate, tmp_path):
    """It starts from a brush stroke, ends at a locked plane, and knows what was there before."""
    work = annotate(drifting_disc(7), name="stack")
    work.control.stacks.review_along(0)
    work.viewer.dims.set_point(0, 3)
    work.keep((3, 40, 42))
    work.propagate()
    work.viewer.dims.set_point(0, 1)
    work.control.stacks.toggle_reviewed()
    work.viewer.dims.set_point(0, 4)
    work.labels[4, 30:50, 40:60] = 1
    work.control.stacks.show_reviewed(1, 4)
    work.control.stacks.repair()
    assert work.stage is Stage.PROPAGATING
    work.wait(lambda: work.stage is not Stage.PROPAGATING)
    loaded = save(work, tmp_path / "stack.anysam")
    repaired = loaded.session.journal[-1].run
    assert repaired.repaired == (1, 4)
    assert (1, 1) in repaired.locked & loaded.session.reviewed
    assert np.array_equal(replay(loaded, work.image.data), work.labels)


def test_planes_of_rolled_axes_are_found_again(annotate, tmp_path):
    stack = drifting_disc()
    work = annotate(np.ascontiguousarray(stack.transpose(1, 2, 0)), name="stack")
    work.viewer.dims.order = (2, 0, 1)
    work.viewer.dims.set_point(2, 3)
    work.keep((40, 42, 3))
    work.propagate(axis=2, first=2, last=4)
    loaded = save(work, tmp_path / "stack.anysam")
    assert loaded.session.order == (2, 0, 1)
    assert np.array_equal(replay(loaded, work.image.data), work.labels)


def test_the_command_writes_the_same_file_and_says_where_labels_differ(annotate, tmp_path, capsys):
    path = tmp_path / "discs.tif"
    tifffile.imwrite(path, blobs())
    work = annotate(blobs(), path, name="discs")
    annotate_plane(work)
    folder = tmp_path / "discs.anysam"
    loaded = save(work, folder)
    output = tmp_path / "labels.tif"
    assert main(["replay", str(folder), "-o", str(output), "--check", "-q"]) == 0
    assert "the same" in capsys.readouterr().out
    stored = next(folder.glob("labels-*.tif"))
    assert np.array_equal(tifffile.imread(output), tifffile.imread(stored))
    work.labels[80:90, 3:9] = 2
    save_session(folder, loaded.session, work.labels)
    (hand,) = folder.glob("hand_edits-*.npz")
    text = (folder / "session.json").read_text().replace(f'"{hand.name}"', "null")
    (folder / "session.json").write_text(text)
    assert main(["replay", str(folder), "--check", "-q"]) == 1
    assert "rows 5 to 89" in capsys.readouterr().err


def test_a_blend_of_channels_is_made_again_by_the_command_line(annotate, tmp_path):
    """Two layers of one file, as napari opens its channels, and a third of another file."""
    channels = np.stack([blobs(), blobs(centres=((20, 100, 12),), seed=1)])
    tifffile.imwrite(tmp_path / "both.tif", channels, metadata={"axes": "CYX"}, ome=False)
    third = blobs(centres=((70, 30, 10),), seed=2)
    tifffile.imwrite(tmp_path / "third.tif", third)
    work = annotate(channels[0], tmp_path / "both.tif", name="red", colormap="red")
    for data, name, file in ((channels[1], "green", "both.tif"), (third, "blue", "third.tif")):
        layer = work.viewer.add_image(data, name=name, colormap=name, blending="additive")
        layer._source = layer.source.model_copy(update={"path": str(tmp_path / file)})
    work.control.looks.blend(True)
    work.keep((20, 100))
    loaded = save(work, tmp_path / "both.anysam")
    (asked,) = loaded.session.journal[0].writes[0].mask.recipe.asked
    assert asked.layers == ("red", "green", "blue")
    assert [other.name for other in loaded.session.others] == ["green", "blue"]
    assert work.labels[20, 100]
    arguments = ["replay", str(tmp_path / "both.anysam"), "--check", "--quiet"]
    assert main(arguments) == 0
    (tmp_path / "third.tif").rename(tmp_path / "moved.tif")
    assert main(arguments) != 0
    assert main([*arguments, "--layer", f"blue={tmp_path / 'moved.tif'}"]) == 0
    assert main([*arguments, "--layer", f"blue={tmp_path / 'both.tif'}"]) != 0


def test_the_levels_of_a_pyramid_are_opened_by_the_command_line(annotate, tmp_path):
    coarse = blobs((384, 512), ((160, 160, 90), (240, 380, 80)))
    fine = blobs((384, 512), ((170, 150, 80), (240, 380, 80)))  # another, to tell what was read
    levels = [fine.repeat(2, 0).repeat(2, 1), coarse]
    group = zarr.create_group(tmp_path / "slide.zarr")
    for number, level in enumerate(levels):
        group.create_array(str(number), data=level, chunks=(256, 256))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    datasets = [{"path": "0"}, {"path": "1"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    work = annotate(levels, tmp_path / "slide.zarr", multiscale=True, name="slide")
    draw_box(work, (60, 60), (60, 980), (700, 980), (700, 60))  # larger than the network's input
    work.control.accept()
    loaded = save(work, tmp_path / "slide.anysam")
    assert loaded.session.image.levels == 2
    assert not np.array_equal(replay(loaded, levels[0]), work.labels)
    assert main(["replay", str(tmp_path / "slide.anysam"), "--check", "--quiet"]) == 0


def annotate_store(annotate, folder):
    """Two clicks into a label store, a stroke, and a part of a mask erased by hand."""
    tifffile.imwrite(folder / "slide.tif", blobs())
    work = annotate(blobs(), folder / "slide.tif", name="slide")
    work.control.keep_labels_in(folder / "slide-labels.zarr")
    store = work.control.workspace.target.array
    work.keep(FIRST)
    store[2:6, 3:30] = 9
    work.keep(SECOND)
    store[55:60, 90:95] = 0
    return work, store


def test_a_session_in_a_label_store_is_made_again_in_another_store(annotate, tmp_path, capsys):
    work, store = annotate_store(annotate, tmp_path)
    loaded = save(work, tmp_path / "slide.anysam")
    assert not list((tmp_path / "slide.anysam").glob("labels-*"))
    assert loaded.labels.path == tmp_path / "slide-labels.zarr"
    output = tmp_path / "again.zarr"
    arguments = ["replay", str(tmp_path / "slide.anysam"), "--check", "--quiet"]
    assert main([*arguments, "-o", str(output)]) == 0
    assert "the same" in capsys.readouterr().out
    again = LabelPyramid(output)
    assert np.array_equal(again[:, :], store[:, :])
    assert np.array_equal(np.asarray(again.levels[-1]), np.asarray(store.levels[-1]))
    assert main([*arguments[:2], "-o", str(tmp_path / "again.tif"), "--quiet"]) != 0
    assert not (tmp_path / "again.tif").exists()


def test_a_store_that_is_ahead_of_its_session_is_opened_with_a_warning(annotate, tmp_path):
    work, store = annotate_store(annotate, tmp_path)
    save(work, tmp_path / "slide.anysam")
    store[80:85, 100:110] = 3
    with pytest.warns(AnySAMWarning, match="drawn by hand"):
        loaded = load_session(tmp_path / "slide.anysam")
    into = LabelPyramid.create(tmp_path / "again.zarr", store.shape)
    assert np.array_equal(replay(loaded, work.image.data, into=into)[:, :], store[:, :])
    with pytest.raises(SessionError, match="empty one"):
        replay(loaded, work.image.data)


def test_a_store_is_found_beside_its_session_or_asked_for(annotate, tmp_path):
    (tmp_path / "before").mkdir()
    work, _ = annotate_store(annotate, tmp_path / "before")
    save(work, tmp_path / "before" / "slide.anysam")
    (tmp_path / "before").rename(tmp_path / "after")
    loaded = load_session(tmp_path / "after" / "slide.anysam")
    assert loaded.labels.path == tmp_path / "after" / "slide-labels.zarr"
    (tmp_path / "after" / "slide-labels.zarr").rename(tmp_path / "elsewhere.zarr")
    with pytest.raises(SessionError, match="back beside the session"):
        load_session(tmp_path / "after" / "slide.anysam")


def test_a_session_in_a_label_store_is_gone_on_with(annotate, tmp_path):
    work, store = annotate_store(annotate, tmp_path)
    before = store[:, :]
    loaded = save(work, tmp_path / "slide.anysam")
    again = annotate(blobs(), tmp_path / "slide.tif", name="slide")
    again.control.restore(again.image, loaded)
    target = again.control.workspace.target.array
    assert target.path == store.path
    assert np.array_equal(target[:, :], before)
    assert {1, 2} <= set(again.control.workspace.session.object_ids)
    again.wait(lambda: again.stage is not Stage.WORKING)
    again.control.new_object()
    again.keep((20, 110))
    assert len(save(again, tmp_path / "slide.anysam").session.journal) >= 3
