"""A lineage as a mapping, and as a file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.errors import LineageError
from napari_anysam.segmentation.lineage import check_lineage, read_lineage, write_lineage


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
