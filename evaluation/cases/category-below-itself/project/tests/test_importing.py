from categories.importing import import_categories
from categories.menu import menu


def test_the_order_of_lines_does_not_matter():
    found = import_categories(["mugs < kitchen", "", "kitchen < all"])
    assert found.paths == {"all": "all", "mugs": "all/kitchen/mugs", "kitchen": "all/kitchen"}
    assert found.problems == []


def test_what_has_no_place_is_told_and_the_rest_is_imported():
    found = import_categories(["mugs < kitchen", "toys < all", "toys < mugs", "lamps"])
    assert found.paths == {"all": "all", "toys": "all/toys"}
    assert found.problems == [
        "not a category of its own: toys < mugs",
        "not a category of its own: lamps",
        "mugs is below kitchen, which there is none of",
    ]


def test_the_menu_leaves_out_what_is_for_the_staff():
    found = import_categories([".returns < all", "broken < .returns", "toys < all"])
    assert menu(found) == ["all", "all/toys"]
