"""What a step of a recipe may do, one file an action, and the registry of them."""
