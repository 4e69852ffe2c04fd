"""Connections are counted by address before login, by user and address after it, and in all."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from lightmail.config import LimitsConfig
from lightmail.imap.admission import Admission, TooManyConnections
from lightmail.model import AccountId

LIMITS = replace(
    LimitsConfig(),
    connections_per_user_and_address=2,
    connections_per_address_before_login=3,
    trusted_networks=(ip_network("10.0.0.0/8"),),
)
ALICE, BOB = AccountId(1), AccountId(2)


def test_connections_that_have_not_logged_in_are_counted_by_address() -> None:
    admission = Admission(LIMITS, 100)
    places = [admission.enter("192.0.2.1") for _ in range(3)]
    assert all(places)
    assert admission.enter("192.0.2.1") is None
    assert admission.enter("192.0.2.2") is not None
    assert places[0] is not None
    places[0].leave()
    places[0].leave()
    assert admission.enter("192.0.2.1") is not None
    assert admission.enter("192.0.2.1") is None


def test_login_counts_for_the_user_and_makes_room_at_the_door() -> None:
    admission = Admission(LIMITS, 100)
    places = [admission.enter("192.0.2.1") for _ in range(3)]
    for place in places[:2]:
        assert place is not None
        place.login(ALICE)
    assert places[2] is not None
    with pytest.raises(TooManyConnections):
        places[2].login(ALICE)
    places[2].login(BOB)
    elsewhere = admission.enter("192.0.2.9")
    assert elsewhere is not None
    elsewhere.login(ALICE)
    assert places[0] is not None
    places[0].leave()
    again = admission.enter("192.0.2.1")
    assert again is not None
    again.login(ALICE)


def test_trusted_networks_have_no_bound_but_the_one_of_all() -> None:
    admission = Admission(LIMITS, 5)
    for _ in range(5):
        place = admission.enter("10.1.2.3")
        assert place is not None
        place.login(ALICE)
    assert admission.enter("10.1.2.3") is None
    assert admission.enter("192.0.2.1") is None
