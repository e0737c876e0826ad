"""Things to try Sentinel with: a small shop that fails for real, rules, recipes, and a collector to tell."""
