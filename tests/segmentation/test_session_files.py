"""Sessions in folders: the same comes back, and nothing is ever half written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_anysam.errors import LabelFileError, SessionError
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.images.fingerprint import fingerprint
from napari_anysam.segmentation.hand_edits import HandEdits
from napari_anysam.segmentation.journal import (
    Asked,
    ModelRecord,
    Paint,
    Painting,
    Recipe,
    Run,
    Write,
    Writing,
    rewrite,
)
from napari_anysam.segmentation.labels import write_mask
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.segmentation.prompts import Prompt, Scribble
from napari_anysam.segmentation.saved_session import ImageRecord, SavedSession, check_image
from napari_anysam.segmentation.session import KeptMask, Session
from napari_anysam.segmentation.session_files import load_session, lock_session, save_session
from napari_anysam.segmentation.session_schema import SCHEMA_VERSION
from napari_anysam.segmentation.session_values import Describing
from napari_anysam.segmentation.windows import tight_window

SHAPE = (3, 6, 7)
MODEL = ModelRecord("anysam-nano", "sam2:abc:fp32:512", "cpu", "fp32", 1, 512)
IMAGE = ImageRecord("cells", "/data/cells.tif", SHAPE, False, "0" * 64)

finite = st.floats(-1e6, 1e6)
points = st.lists(st.tuples(finite, finite), min_size=1, max_size=3)
planes = st.integers(0, SHAPE[0] - 1)
ids = st.integers(1, 4)
masks = arrays(bool, SHAPE[1:]).filter(np.any)
shapes = st.builds(
    MaskOptions,
    threshold=st.floats(-5, 5),
    smallest_area=st.integers(0, 99),
    smoothing=st.floats(0, 9),
    largest_component=st.booleans(),
    box_padding=st.floats(0, 0.1),
)
conditionings = st.builds(
    lambda low, width, gamma: Conditioning(((low, low + width),), gamma),
    finite,
    st.floats(0, 1e6),
    st.floats(0.1, 3),
)


@st.composite
def prompts(draw, plane):
    return Prompt(
        draw(ids),
        plane,
        points=draw(points),
        box=draw(st.none() | st.just((0.25, 1.0, 3.5, 4.75))),
        mask=draw(st.none() | masks),
        scribbles=draw(st.just(()) | st.just((Scribble([(1, 2), (3, 4.5)], False),))),
    )


@st.composite
def kept_masks(draw, plane, *, with_recipe):
    recipe = None
    if with_recipe:
        asked = [
            Asked(
                draw(prompts(plane)),
                draw(conditionings),
                draw(st.integers(0, 2)),
                draw(shapes),
                draw(st.none() | st.just((0.0, 10.5, 300.0, 400.25))),
            )
            for _ in range(draw(st.integers(1, 3)))
        ]
        recipe = Recipe(tuple(asked), MODEL)
    window, score = tight_window(draw(masks)), draw(st.none() | finite)
    trust = draw(st.sampled_from([(None, ()), (0.25, ("jump", "low score")), (1.0, ())]))
    return KeptMask(window, score, "anysam-nano", recipe, *trust)


@st.composite
def writings(draw):
    plane, policy = draw(planes), draw(st.sampled_from(["protect", "over", "background"]))
    mask = draw(kept_masks(plane, with_recipe=True))
    return Writing((Write((draw(ids), plane), mask),), policy)


@st.composite
def runs(draw):
    run = Run(
        axis=0,
        plane=0,
        start=0,
        stop=3,
        direction=draw(st.sampled_from(["both", "forward", "backward"])),
        prompts=(draw(prompts(1)),),
        conditioning=draw(conditionings),
        model=MODEL,
        results=2,
        locked=draw(st.frozensets(st.tuples(ids, st.none() | planes), max_size=3)),
        repaired=draw(st.none() | st.just((2, 1))),
        memory=draw(st.sampled_from(["full", "fast"])),
    )
    writes = [
        Write((1, plane), draw(st.none() | kept_masks(plane, with_recipe=False)))
        for plane in draw(st.lists(planes, max_size=4))
    ]
    return Writing(tuple(writes), "protect", run)


@st.composite
def paintings(draw):
    paint = Paint((draw(planes),), tight_window(draw(masks)), draw(st.integers(0, 4)))
    return Painting((paint,), {(draw(ids), draw(planes)): None})


journals = st.lists(st.one_of(writings(), runs(), paintings()), max_size=5)


def a_session(journal=(), shape=SHAPE):
    return SavedSession(IMAGE, tuple(range(len(shape))), (), {}, tuple(journal))


def described(session):
    """A session as plain values, to be compared."""
    from napari_anysam.segmentation.session_schema import LabelsFile

    labels = LabelsFile(file="", sha256="", shape=(), dtype="")
    return Describing().session(session, labels, None).model_dump()


@given(journal=journals, labels=arrays(np.int32, SHAPE, elements=st.integers(0, 5)), data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_was_saved_comes_back(tmp_path, journal, labels, data):
    session = SavedSession(
        IMAGE,
        (0, 1, 2),
        (data.draw(prompts(1)), data.draw(prompts(2))),
        {3: "nucleus"},
        tuple(journal),
        object_id=4,
        plane=1,
        conditioning=data.draw(st.none() | conditionings),
        reviewed=data.draw(st.frozensets(st.tuples(ids, planes), max_size=4)),
        parents=data.draw(st.dictionaries(st.integers(2, 4), st.just(1))),
    )
    save_session(tmp_path, session, labels)
    loaded = load_session(tmp_path)
    assert described(loaded.session) == described(session)
    assert loaded.session.reviewed == session.reviewed
    assert loaded.session.parents == session.parents
    assert np.array_equal(loaded.labels, labels)
    assert loaded.labels.dtype == labels.dtype
    again = np.zeros_like(labels)
    rewrite(loaded.session.journal, again)
    loaded.hand_edits.apply(again)
    assert np.array_equal(again, labels)


@given(
    before=arrays(np.uint8, SHAPE, elements=st.integers(0, 2)),
    after=arrays(np.uint8, SHAPE, elements=st.integers(0, 2)),
)
@settings(max_examples=60, deadline=None)
def test_hand_edits_make_one_array_of_another_and_touch_nothing_else(before, after):
    edits = HandEdits.between(before, after)
    assert (edits.stops - edits.starts).sum() == (before != after).sum()
    made = before.copy()
    edits.apply(made)
    assert np.array_equal(made, after)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_journal_explains_labels_after_any_undo_and_redo(data):
    labels, session = np.zeros(SHAPE, np.int32), Session()
    for _ in range(data.draw(st.integers(1, 12))):
        action = data.draw(st.sampled_from(["write", "write", "undo", "redo"]))
        if action == "write":
            object_id, plane = data.draw(ids), data.draw(planes)
            mask = data.draw(masks)
            edit = write_mask(labels, (plane,), (0, 0), mask, object_id)
            session.record_labels(
                [edit], "mask", {(object_id, plane): KeptMask(tight_window(mask))}
            )
        else:
            getattr(session, action)(labels)
    again = np.zeros_like(labels)
    rewrite(session.journal, again)
    assert np.array_equal(again, labels)
    assert a_session(session.journal).kept.keys() == session.kept.keys()


def test_labels_of_other_shapes_and_types_come_back(tmp_path):
    for number, shape in enumerate([(5, 4), (2, 3, 5, 4), (1, 5, 3), (5, 1)]):
        labels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
        folder = tmp_path / str(number)
        folder.mkdir()
        save_session(folder, a_session(shape=shape), labels)
        loaded = load_session(folder).labels
        assert np.array_equal(loaded, labels)
        assert loaded.dtype == labels.dtype


def test_only_the_files_of_the_last_state_stay(tmp_path):
    for value in range(4):
        save_session(tmp_path, a_session(), np.full(SHAPE, value, np.int32))
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir()) == [
        "hand_edits",
        "labels",
        "session.json",
    ]


def test_two_windows_do_not_write_into_one_session(tmp_path):
    folder = tmp_path / "cells.anysam"
    lock = lock_session(folder)
    with pytest.raises(SessionError, match="open in another window"):
        lock_session(folder)
    lock.release()
    lock_session(folder).release()


KILLED = """
    import sys
    import numpy as np
    from test_session_files import SHAPE, a_session
    from napari_anysam.segmentation.session_files import save_session

    for value in range(1, 100000):
        save_session(sys.argv[1], a_session(), np.full(SHAPE, value % 250, np.int32))
        print(value, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_process_killed_while_it_saves_leaves_a_whole_state(tmp_path):
    folder = os.path.dirname(__file__)
    for attempt in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([folder, *sys.path])},
        )
        for _ in range(3):
            said = int(process.stdout.readline())
        time.sleep(0.003 * attempt)
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        last = max([said, *map(int, rest)])
        loaded = load_session(tmp_path)
        assert (loaded.labels == loaded.labels.flat[0]).all()
        assert loaded.labels.flat[0] in (last, last + 1)


def test_a_full_disk_leaves_the_state_before_and_says_so(tmp_path, monkeypatch):
    save_session(tmp_path, a_session(), np.ones(SHAPE, np.int32))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real = os.replace

    def refuse(source, target):
        if str(target).endswith("session.json"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(LabelFileError, match=r"session.json could not be written \(No space left"):
        save_session(tmp_path, a_session(), np.full(SHAPE, 2, np.int32))
    assert (load_session(tmp_path).labels == 1).all()
    assert before.items() <= {path.name: path.read_bytes() for path in tmp_path.iterdir()}.items()


@pytest.fixture
def saved(tmp_path):
    save_session(tmp_path, a_session(), np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE))
    return tmp_path


def change(folder, **values):
    path = folder / "session.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_an_older_and_a_newer_schema_are_refused_with_what_helps(saved):
    change(saved, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(SessionError, match="update napari-anysam"):
        load_session(saved)
    change(saved, schema_version=0)
    with pytest.raises(SessionError, match="with the version that wrote it"):
        load_session(saved)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": "other"}, "no session of napari-anysam"),
        ({"order": "up"}, "damaged.*order"),
        ({"surprise": 1}, "damaged.*surprise"),
        ({"prompts": [{"object_id": 1}]}, "damaged.*empty"),
        ({"hand_edits": "../evil.npz"}, "outside of itself"),
    ],
)
def test_values_that_make_no_sense_are_refused(saved, values, words):
    change(saved, **values)
    with pytest.raises(SessionError, match=words):
        load_session(saved)


@pytest.mark.parametrize("pattern", ["session.json", "labels-*.tif", "hand_edits-*.npz"])
@pytest.mark.parametrize("damage", ["cut", "gone", "turned"])
def test_a_damaged_file_is_told_by_name(saved, pattern, damage):
    (path,) = saved.glob(pattern)
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        content[middle : middle + 40] = bytes(40)
        path.write_bytes(content)
    with pytest.raises(SessionError, match=r"damaged|changed since|holds no session"):
        load_session(saved)


def test_another_image_is_refused():
    pixels = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
    record = ImageRecord("cells", None, SHAPE, False, fingerprint(pixels))
    check_image(record, pixels)
    check_image(record, pixels.astype(">u2"))
    with pytest.raises(SessionError, match="of shape"):
        check_image(record, pixels[:2])
    with pytest.raises(SessionError, match="pixels are others"):
        check_image(record, pixels[::-1])
    with pytest.raises(SessionError, match="pixels are others"):
        check_image(record, pixels.astype(np.int32))


def test_large_images_are_named_by_the_middle_of_some_planes():
    class Lazy:
        shape, dtype = (1000, 4000, 4000), np.dtype(np.uint8)

        def __init__(self):
            self.read = 0

        def __getitem__(self, key):
            values = np.full(tuple(len(range(*part.indices(4000))) for part in key[1:]), key[0] % 7)
            self.read += values.size
            return values.astype(np.uint8)

    lazy = Lazy()
    assert len(fingerprint(lazy)) == 64
    assert lazy.read <= 16 * 512**2


def test_a_session_is_read_while_it_is_saved(tmp_path):
    """The labels that one session names are gone as soon as the next one is saved."""
    shape = (200, 200)
    first = np.zeros(shape, np.uint8)
    save_session(tmp_path, a_session(shape=shape), first)
    done = threading.Event()

    def save_on():
        for value in range(1, 40):
            save_session(tmp_path, a_session(shape=shape), np.full(shape, value, np.uint8))
        done.set()

    saver = threading.Thread(target=save_on)
    saver.start()
    seen = []
    while not done.is_set():
        seen.append(int(load_session(tmp_path).labels.max()))
    saver.join()
    assert seen == sorted(seen)
    assert load_session(tmp_path).labels.min() == 39
