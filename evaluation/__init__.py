"""Cases on which the making of patches is measured: buggy projects with traces, hidden tests and answers."""
