"""Octets to parts: an iterative scanner, and ENVELOPE, BODYSTRUCTURE, offsets and search text rendered from it."""
