"""One message towards n recipients: addresses to mailboxes, spooled octets to a stored, rendered blob."""
