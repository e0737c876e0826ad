"""The first two customers of a process."""

from baskets.checkout import bought

bought("noor", [("lamp", 1, 3_900)], 3_900)
bought("theo", [("bulb", 4, 250), ("lamp", 1, 3_900)], 4_900)
