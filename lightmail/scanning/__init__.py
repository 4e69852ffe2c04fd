"""Looking for viruses in messages on their way in, by ClamAV's daemon.

`clamd` speaks the daemon's protocol and knows nothing of mail; `scanner` decides what a message's scan means for it.
What becomes of a message in which something was found is the protocol's business and the operation's.
"""

from lightmail.scanning.scanner import Scanner, Verdict

__all__ = ["Scanner", "Verdict"]
