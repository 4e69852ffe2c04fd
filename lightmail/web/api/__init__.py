"""The HTTP API: a table of endpoints, and what carries each of them out."""
