"""The ``lightmail`` command line: one module per family of verbs."""
