"""The authenticator behind Twisted's cred, and the SASL mechanisms in front of it."""

from __future__ import annotations

from collections.abc import Iterator

import bcrypt
import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor
from twisted.mail.interfaces import IAccountIMAP, IChallengeResponse, IMailboxPOP3
from zope.interface.verify import verifyObject

from lightmail.auth.checkers import LoginDenied, MailRealm, PasswordChecker
from lightmail.auth.login import Authenticator
from lightmail.auth.sasl import MECHANISMS, IRemotePassword, Login, Plain, RemotePassword
from lightmail.errors import AuthenticationFailed, AuthorizationFailed, Invalid, Unavailable
from lightmail.model import Account, AccountId, Credentials
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run

DEMO = Account(AccountId(1), b"u" * 16, "demo@example.org", True, 0, 0)
STORED = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


async def find(name: str, _app_secret: bytes | None) -> Credentials | None:
    if name == "outage@example.org":
        raise Unavailable
    return Credentials(DEMO, STORED) if name == DEMO.address else None


@pytest.fixture(scope="module")
def checker() -> Iterator[PasswordChecker]:
    pool = BoundedPool("hash", 1, 10, reactor=reactor)  # type: ignore[arg-type]
    call(pool.start)
    yield PasswordChecker(Authenticator(find, pool, reactor=reactor), "imap")
    run(pool.stop())


@pytest.fixture(scope="module")
def portal(checker: PasswordChecker) -> Portal:
    realm = MailRealm({IAccountIMAP: lambda account: (f"imap for {account.address}", lambda: None)})
    return Portal(realm, [checker])


def login(portal: Portal, credentials: object, interface: type = IAccountIMAP) -> tuple[object, ...]:
    async def do() -> tuple[object, ...]:
        result: tuple[object, ...] = await portal.login(credentials, None, interface)
        return result

    return run(do())


def test_the_interfaces_hold(checker: PasswordChecker) -> None:
    verifyObject(ICredentialsChecker, checker)
    verifyObject(IRealm, MailRealm({}))
    for mechanism in (Plain(address="192.0.2.1"), Login(address="192.0.2.1")):
        verifyObject(IChallengeResponse, mechanism)
        verifyObject(IUsernamePassword, mechanism)
        verifyObject(IRemotePassword, mechanism)


def test_a_portal_lets_in_stock_credentials(portal: Portal) -> None:
    interface, avatar, logout = login(portal, UsernamePassword(b"demo@example.org", b"secret"))
    assert (interface, avatar) == (IAccountIMAP, "imap for demo@example.org")
    assert callable(logout)


@pytest.mark.parametrize("name", [b"demo@example.org", b"nobody@example.org"])
def test_a_wrong_login_is_unauthorized_and_says_why_to_those_who_ask(portal: Portal, name: bytes) -> None:
    with pytest.raises(UnauthorizedLogin) as caught:
        login(portal, UsernamePassword(name, b"wrong"))
    assert isinstance(caught.value, LoginDenied)
    assert isinstance(caught.value.error, AuthenticationFailed)


def test_an_outage_is_no_refusal(portal: Portal) -> None:
    with pytest.raises(Unavailable):
        login(portal, UsernamePassword(b"outage@example.org", b"secret"))


def test_an_interface_that_nobody_serves(portal: Portal) -> None:
    with pytest.raises(NotImplementedError):
        login(portal, UsernamePassword(b"demo@example.org", b"secret"), IMailboxPOP3)


def test_plain(portal: Portal) -> None:
    mechanism = MECHANISMS[b"PLAIN"](address="192.0.2.1")
    assert mechanism.getChallenge() == b""
    mechanism.setResponse(b"\0demo@example.org\0secret")
    assert not mechanism.moreChallenges()
    assert login(portal, mechanism)[1] == "imap for demo@example.org"
    assert mechanism.checkPassword(b"secret")
    assert not mechanism.checkPassword(b"Secret")


def test_plain_for_another(portal: Portal) -> None:
    mechanism = Plain()
    mechanism.setResponse(b"root\0demo@example.org\0secret")
    with pytest.raises(LoginDenied) as caught:
        login(portal, mechanism)
    assert isinstance(caught.value.error, AuthorizationFailed)


@pytest.mark.parametrize("response", [b"", b"demo", b"demo\0secret", b"\0\0", b"\0\0secret", b"a\0b\0c\0d"])
def test_a_malformed_plain_response(response: bytes) -> None:
    with pytest.raises(Invalid):
        Plain().setResponse(response)


def test_login_asks_for_name_and_password(portal: Portal) -> None:
    mechanism = MECHANISMS[b"LOGIN"](address="192.0.2.1")
    asked = []
    for response in (b"demo@example.org", b"secret"):
        assert mechanism.moreChallenges()
        asked.append(mechanism.getChallenge())
        mechanism.setResponse(response)
    assert not mechanism.moreChallenges()
    assert asked == [b"Username:", b"Password:"]
    assert login(portal, mechanism)[1] == "imap for demo@example.org"


def test_a_password_from_the_network_carries_its_address(portal: Portal) -> None:
    credentials = RemotePassword(b"demo@example.org", b"secret", address="192.0.2.1")
    assert login(portal, credentials)[1] == "imap for demo@example.org"
