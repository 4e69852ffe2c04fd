"""Telling a webhook's receiver of an event: one signed request to an address that may be connected to.

`signing` makes the signature, `destinations` finds out and checks where to connect, `sending` makes the request. What
is told, in which order and how often is not decided here but by `lightmail.jobs.webhooks`.
"""

from lightmail.webhooks.receiver import Receiver
from lightmail.webhooks.sending import Attempt, Sender

__all__ = ["Attempt", "Receiver", "Sender"]
