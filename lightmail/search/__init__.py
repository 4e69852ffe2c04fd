"""SEARCH (RFC 3501 section 6.4.4): criteria, and their evaluation from index, rendering and body, cheapest first."""
