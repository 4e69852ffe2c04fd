"""Right, wrong and out of order are told apart; nothing else is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network

import bcrypt
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from lightmail.auth.login import Authenticator, name_key
from lightmail.errors import AccountDisabled, AuthenticationFailed, AuthorizationFailed, MailError, Unavailable
from lightmail.model import Account, AccountId
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run

HERE = "192.0.2.1"
NAME = b"demo@example.org"
DEMO = Account(AccountId(1), b"u" * 16, "demo@example.org", True, 0, 0)


def hashed(password: bytes, cost: int = 4) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


class Accounts:
    """The accounts' table: an interface of ours, so a dictionary may stand for it."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Account, str]] = {DEMO.address: (DEMO, hashed(b"secret"))}
        self.reads = 0
        self.fault: Exception | None = None

    async def find(self, name: str) -> tuple[Account, str] | None:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return self.rows.get(name)

    def change(self, *, password: bytes | None = None, active: bool = True) -> None:
        account, stored = self.rows[DEMO.address]
        self.rows[DEMO.address] = (replace(account, active=active), hashed(password) if password else stored)


class CountingPool(BoundedPool):
    """Counts what is handed to the pool: each is one hash."""

    hashes = 0

    async def run(self, fn, *args, **kwargs):  # type: ignore[no-untyped-def,override]
        self.hashes += 1
        return await super().run(fn, *args, **kwargs)


class Fixture:
    def __init__(self, threads: int = 2, queue: int = 32, verified_seconds: float = 300) -> None:
        self.accounts = Accounts()
        self.pool = CountingPool("hash", threads, queue, reactor=reactor)  # type: ignore[arg-type]
        call(self.pool.start)
        self.authenticator = Authenticator(
            self.accounts.find,
            self.pool,
            reactor=reactor,
            verified_seconds=verified_seconds,
            trusted_networks=[ip_network("10.0.0.0/8")],
        )

    def login(
        self,
        name: bytes = b"demo@example.org",
        password: bytes = b"secret",
        address: str = "10.0.0.1",
        act: bytes = b"",
    ) -> Account:
        return run(self.authenticator.login(name, password, address, "imap", act))

    def fails(self, error: type[MailError], *args: bytes, address: str = "10.0.0.1", act: bytes = b"") -> MailError:
        with pytest.raises(MailError) as caught:
            self.login(*args, address=address, act=act)
        assert type(caught.value) is error
        return caught.value


@pytest.fixture
def make() -> Iterator[Callable[..., Fixture]]:
    made: list[Fixture] = []

    def build(**arguments: float) -> Fixture:
        made.append(Fixture(**arguments))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for fixture in made:
        run(fixture.pool.stop())


@pytest.fixture
def fixture(make: Callable[..., Fixture]) -> Fixture:
    return make()


def test_name_and_password_open_the_account(fixture: Fixture) -> None:
    assert fixture.login() == DEMO
    assert fixture.login(b" Demo@EXAMPLE.org ") == DEMO, "names are folded"


def test_wrong_password_and_unknown_name_answer_alike(fixture: Fixture) -> None:
    wrong = fixture.fails(AuthenticationFailed, b"demo@example.org", b"Secret")
    unknown = fixture.fails(AuthenticationFailed, b"nobody@example.org", b"secret")
    assert wrong.text == unknown.text
    assert fixture.pool.hashes == 2, "both are checked against a hash"


@pytest.mark.parametrize("name", [b"", b"demo", b"\xff\xfe", b"a" * 5000, b"demo@example.org\0x", b"@"])
def test_names_that_no_account_has_are_hashed_too(fixture: Fixture, name: bytes) -> None:
    fixture.fails(AuthenticationFailed, name, b"secret")
    assert fixture.pool.hashes == 1


def test_an_account_without_a_password_lets_nobody_in(fixture: Fixture) -> None:
    fixture.accounts.rows[DEMO.address] = (DEMO, "")
    fixture.fails(AuthenticationFailed, b"demo@example.org", b"")
    assert fixture.pool.hashes == 1


def test_right_credentials_are_hashed_once_and_read_every_time(fixture: Fixture) -> None:
    for _ in range(3):
        fixture.login()
    assert (fixture.pool.hashes, fixture.accounts.reads) == (1, 3)


def test_a_changed_password_counts_at_once(fixture: Fixture) -> None:
    fixture.login()
    fixture.accounts.change(password=b"other")
    fixture.fails(AuthenticationFailed)
    assert fixture.login(password=b"other") == DEMO


def test_a_disabled_account_counts_at_once_and_shows_to_its_owner_only(fixture: Fixture) -> None:
    fixture.login()
    fixture.accounts.change(active=False)
    fixture.fails(AccountDisabled)
    fixture.fails(AuthenticationFailed, b"demo@example.org", b"guess")
    fixture.accounts.change(active=True)
    assert fixture.login() == DEMO


def test_an_outage_is_no_wrong_password_and_counts_for_nothing(fixture: Fixture) -> None:
    fixture.accounts.fault = Unavailable()
    for _ in range(10):
        fixture.fails(Unavailable, address=HERE)
    fixture.accounts.fault = None
    assert fixture.login(address=HERE) == DEMO


def test_more_logins_than_can_be_hashed_are_unavailable(make: Callable[..., Fixture]) -> None:
    fixture = make(threads=1, queue=1)

    async def storm() -> list[str]:
        async def one(number: int) -> str:
            try:
                await fixture.authenticator.login(b"user%d@example.org" % number, b"x", "10.0.0.1", "imap")
            except MailError as error:
                return type(error).__name__
            return "in"

        return list(await gatherResults([Deferred.fromCoroutine(one(n)) for n in range(10)]))

    answers = run(storm())
    assert answers.count("AuthenticationFailed") == 2
    assert answers.count("Unavailable") == 8


def test_connections_that_open_together_share_one_hash(fixture: Fixture) -> None:
    def together(name: bytes) -> Awaitable[object]:
        return gatherResults(
            [
                Deferred.fromCoroutine(fixture.authenticator.login(name, b"secret", "10.0.0.1", "imap"))
                for _ in range(8)
            ],
            consumeErrors=True,
        )

    async def both() -> None:
        await together(b"demo@example.org")
        assert fixture.pool.hashes == 1
        with pytest.raises(Exception):  # noqa: B017, PT011  (gatherResults wraps it)
            await together(b"nobody@example.org")
        assert fixture.pool.hashes == 2, "nor does a name that does not exist show by its number of hashes"

    run(both())


def test_a_client_that_leaves_does_not_take_the_others_check_with_it(fixture: Fixture) -> None:
    async def scene() -> Account:
        first = Deferred.fromCoroutine(fixture.authenticator.login(NAME, b"secret", "10.0.0.1", "imap"))
        second = Deferred.fromCoroutine(fixture.authenticator.login(NAME, b"secret", "10.0.0.1", "pop3"))
        first.addErrback(lambda _: None)
        first.cancel()
        return await second

    assert run(scene()) == DEMO


def test_failures_slow_their_own_address_down(fixture: Fixture) -> None:
    for _ in range(4):
        fixture.fails(AuthenticationFailed, b"demo@example.org", b"guess", address=HERE)

    async def scene() -> None:
        def login(address: str) -> Awaitable[Account]:
            return Deferred.fromCoroutine(fixture.authenticator.login(NAME, b"secret", address, "imap"))

        waiting = login(HERE)
        assert await login("198.51.100.7") == DEMO, "its owner, elsewhere"
        assert await login("10.0.0.1") == DEMO, "from a trusted network"
        assert isinstance(waiting, Deferred)
        assert not waiting.called
        assert await waiting == DEMO, "the right password goes through, later"

    run(scene())


def test_acting_for_another_is_refused_to_who_knows_the_password(fixture: Fixture) -> None:
    assert fixture.login(act=b"DEMO@example.org") == DEMO
    fixture.fails(AuthorizationFailed, act=b"other@example.org")
    fixture.fails(AuthenticationFailed, b"demo@example.org", b"guess", act=b"other@example.org")


def test_a_hash_that_cannot_be_checked_lets_nobody_in(fixture: Fixture) -> None:
    fixture.accounts.rows[DEMO.address] = (DEMO, "{PLAIN}secret")
    fixture.fails(AuthenticationFailed)


def test_names_that_do_not_exist_cost_what_the_accounts_here_cost(fixture: Fixture) -> None:
    fixture.accounts.rows[DEMO.address] = (DEMO, hashed(b"secret", cost=10))
    fixture.login()
    decoys = {fixture.authenticator._decoys.choose(b"name%d" % number)[:7] for number in range(50)}
    assert decoys == {"$2b$10$"}


def test_credentials_are_forgotten_when_the_time_is_zero(make: Callable[..., Fixture]) -> None:
    fixture = make(verified_seconds=0)
    fixture.login()
    fixture.login()
    assert fixture.pool.hashes == 2


def test_one_name_has_one_key() -> None:
    assert name_key("JOSE\u0301@example.org".encode()) == name_key("josé@Example.ORG".encode())
    assert name_key(b"  ") is None
