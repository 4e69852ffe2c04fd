"""iCalendar (RFC 5545): what a text says of an event, and when that recurs.

Pure functions, with bounds on what they look at: texts and rules come from strangers.
"""
