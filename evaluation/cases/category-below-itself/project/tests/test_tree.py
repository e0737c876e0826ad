import pytest

from categories.tree import ROOT, Misplaced, path_of

TREE = {ROOT: "", "kitchen": ROOT, "mugs": "kitchen"}


def test_a_path_begins_at_the_root():
    assert path_of(TREE, "mugs") == ["all", "kitchen", "mugs"]
    assert path_of(TREE, ROOT) == ["all"]


def test_what_is_below_nothing_that_is_there_is_misplaced():
    with pytest.raises(Misplaced, match="mugs is below kitchen, which there is none of"):
        path_of({ROOT: "", "mugs": "kitchen"}, "mugs")
