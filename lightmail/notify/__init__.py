"""Hints that a mailbox changed: they carry no data, may be lost, and only make sessions pull sooner."""
