"""A supplier has moved a category below what is below it."""

from categories.importing import import_categories

import_categories(["pumps < all", "seals < rings", "rings < seals", "hoses < pumps"])
