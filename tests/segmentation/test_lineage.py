"""A lineage as a mapping, and as a file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.errors import LineageError
from napari_anysam.segmentation.lineage import (
    check_lineage,
    lineage_after_merging,
    read_lineage,
    without_objects,
    write_lineage,
)


def test_a_tree_is_a_lineage():
    assert check_lineage({2: 1, 3: 1, 4: 3}, ids=range(1, 5)) == {2: 1, 3: 1, 4: 3}


@pytest.mark.parametrize("circle", [{1: 1}, {1: 2, 2: 3, 3: 1}, {5: 4, 4: 3, 3: 4}])
def test_nobody_descends_from_itself(circle):
    with pytest.raises(LineageError, match="descends from itself"):
        check_lineage(circle)


@pytest.mark.parametrize("links", [{2: 9}, {9: 2}, {0: 2}, {2: -1}])
def test_links_are_between_objects_that_exist(links):
    with pytest.raises(LineageError, match="there is no object"):
        check_lineage(links, ids=[1, 2])


@given(st.dictionaries(st.integers(2, 99), st.integers(1, 98)))
def test_links_to_lower_ids_are_always_a_lineage(links):
    downward = {child: min(parent, child - 1) for child, parent in links.items()}
    assert check_lineage(downward) == downward


FAMILY = {2: 1, 3: 1, 4: 2, 5: 2}


def test_objects_that_are_gone_have_no_kin():
    assert without_objects(FAMILY, [2]) == {3: 1}


@pytest.mark.parametrize(
    ("merged", "into", "left"),
    [
        ([3], 2, {2: 1, 4: 2, 5: 2}),
        ([2], 1, {3: 1, 4: 1, 5: 1}),
        ([1], 4, {2: 4, 3: 4, 5: 2}),
        ([2, 3], 6, {4: 6, 5: 6}),
    ],
)
def test_daughters_of_merged_objects_are_daughters_of_the_one(merged, into, left):
    assert lineage_after_merging(FAMILY, merged, into) == left


@given(
    st.dictionaries(st.integers(2, 12), st.integers(1, 11)),
    st.sets(st.integers(1, 12)),
    st.integers(1, 12),
)
def test_a_lineage_stays_one_when_objects_merge(links, merged, into):
    downward = {child: min(parent, child - 1) for child, parent in links.items()}
    left = lineage_after_merging(downward, merged, into)
    assert check_lineage(left) == left
    assert not {*left, *left.values()} & (merged - {into})


def test_a_file_gives_back_what_was_written(tmp_path):
    write_lineage(tmp_path / "lineage.csv", {3: 1, 2: 1})
    assert (tmp_path / "lineage.csv").read_text() == "child,parent\n2,1\n3,1\n"
    assert read_lineage(tmp_path / "lineage.csv") == {2: 1, 3: 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "columns child and parent"),
        ("child,parent\n1,x\n", "columns child and parent"),
        ("child,parent\n1\n", "columns child and parent"),
        ("child,parent\n3,1\n3,2\n", "twice"),
        ("child,parent\n3,3\n", "itself"),
    ],
)
def test_other_files_are_refused(tmp_path, text, words):
    (tmp_path / "lineage.csv").write_text(text)
    with pytest.raises(LineageError, match=words):
        read_lineage(tmp_path / "lineage.csv")
    with pytest.raises(LineageError, match="no file"):
        read_lineage(tmp_path / "gone.csv")
