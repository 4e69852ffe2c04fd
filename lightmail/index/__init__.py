"""What a process remembers of a mailbox: the shared index, the sessions' numbering on it, rendered metadata."""
