import pytest

from categories.importing import import_categories
from categories.tree import ROOT, Misplaced, path_of


def test_categories_below_each_other_are_misplaced():
    for name in ("seals", "rings"):
        with pytest.raises(Misplaced):
            path_of({ROOT: "", "seals": "rings", "rings": "seals"}, name)


def test_a_category_below_itself_is_misplaced():
    with pytest.raises(Misplaced):
        path_of({ROOT: "", "seals": "seals"}, "seals")


def test_what_hangs_on_a_loop_is_misplaced():
    with pytest.raises(Misplaced):
        path_of({ROOT: "", "a": "b", "b": "c", "c": "b"}, "a")


def test_the_rest_is_imported_and_each_problem_told():
    found = import_categories(["pumps < all", "seals < rings", "rings < seals", "hoses < pumps"])
    assert found.paths == {"all": "all", "pumps": "all/pumps", "hoses": "all/pumps/hoses"}
    assert len(found.problems) == 2


@pytest.mark.parametrize("depth", [1, 60, 400, 1_200])
def test_a_tree_may_be_deep(depth):
    lines = ["p0 < all", *(f"p{each} < p{each - 1}" for each in range(1, depth))]
    found = import_categories(lines)
    assert found.problems == []
    assert found.paths[f"p{depth - 1}"].count("/") == depth


def test_what_is_below_nothing_is_still_told():
    assert import_categories(["mugs < kitchen"]).problems == ["mugs is below kitchen, which there is none of"]
