"""Right, wrong and out of order are told apart; nothing else is."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from lightmail.auth.app_passwords import digest, generate
from lightmail.auth.login import Authenticator, name_key
from lightmail.auth.uses import LastUses, Use
from lightmail.errors import AccountDisabled, AuthenticationFailed, AuthorizationFailed, MailError, Unavailable
from lightmail.model import Account, AccountId, Credentials
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
        self.app_passwords: dict[bytes, tuple[int, frozenset[str]]] = {}
        self.reads = 0
        self.fault: Exception | None = None

    async def find(self, name: str, app_secret: bytes | None) -> Credentials | None:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        if name not in self.rows:
            return None
        return Credentials(*self.rows[name], *self.app_passwords.get(app_secret or b"", (0, frozenset())))

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
        protocol: str = "imap",
    ) -> Account:
        return run(self.authenticator.login(name, password, address, protocol, act))

    def fails(
        self,
        error: type[MailError],
        *args: bytes,
        address: str = "10.0.0.1",
        act: bytes = b"",
        protocol: str = "imap",
    ) -> MailError:
        with pytest.raises(MailError) as caught:
            self.login(*args, address=address, act=act, protocol=protocol)
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


# App passwords

SECRET = "abcde-fghij-kmnpq-rstuv"


def with_app_password(fixture: Fixture, *protocols: str) -> Accounts:
    hidden = digest(SECRET.encode())
    assert hidden is not None
    fixture.accounts.app_passwords[hidden] = (7, frozenset(protocols))
    return fixture.accounts


@pytest.mark.parametrize("typed", [SECRET, SECRET.upper(), SECRET.replace("-", " "), SECRET.replace("-", "")])
def test_an_app_password_opens_the_account_without_a_hash(fixture: Fixture, typed: str) -> None:
    accounts = with_app_password(fixture, "imap", "pop3")
    assert fixture.login(password=typed.encode()) == DEMO
    assert fixture.login(protocol="pop3") == DEMO, "beside the password"
    assert (fixture.pool.hashes, accounts.reads) == (1, 2), "one for the password, none for the app password"
    (use,) = fixture.authenticator.uses.take()
    assert (use.app_password, use.address) == (7, "10.0.0.1")


def test_an_app_password_is_good_for_its_protocols_and_while_it_is_there(fixture: Fixture) -> None:
    accounts = with_app_password(fixture, "pop3")
    fixture.fails(AuthenticationFailed, NAME, SECRET.encode())
    assert fixture.login(password=SECRET.encode(), protocol="pop3") == DEMO
    accounts.app_passwords.clear()
    fixture.fails(AuthenticationFailed, NAME, SECRET.encode(), protocol="pop3")
    assert fixture.authenticator.uses.take()[0].app_password == 7
    assert fixture.authenticator.uses.take() == [], "only what opened the account was a use"


def test_a_guessed_app_password_costs_what_any_guess_costs(fixture: Fixture) -> None:
    with_app_password(fixture, "imap")
    for name in (NAME, b"nobody@example.org"):
        before = fixture.pool.hashes, fixture.accounts.reads
        fixture.fails(AuthenticationFailed, name, generate().encode())
        assert (fixture.pool.hashes, fixture.accounts.reads) == (before[0] + 1, before[1] + 1)


def test_a_disabled_account_shows_to_who_has_an_app_password(fixture: Fixture) -> None:
    with_app_password(fixture, "imap").change(active=False)
    fixture.fails(AccountDisabled, NAME, SECRET.encode())
    assert fixture.authenticator.uses.take() == []


def test_a_password_with_the_form_of_an_app_password_is_a_password(fixture: Fixture) -> None:
    fixture.accounts.change(password=SECRET.encode())
    assert fixture.login(password=SECRET.encode()) == DEMO
    fixture.fails(AuthenticationFailed, NAME, SECRET.upper().encode())


def test_an_account_may_have_app_passwords_only(fixture: Fixture) -> None:
    with_app_password(fixture, "imap")
    fixture.accounts.rows[DEMO.address] = (DEMO, "")
    assert fixture.login(password=SECRET.encode()) == DEMO


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_only_what_has_the_form_is_looked_for(octets: bytes) -> None:
    letters = octets.replace(b"-", b"").replace(b" ", b"").lower()
    has_form = len(octets) <= 40 and re.fullmatch(rb"[a-km-np-z2-9]{20}", letters) is not None
    assert (digest(octets) is not None) == has_form


def test_what_is_generated_has_the_form() -> None:
    made = {generate() for _ in range(100)}
    assert len(made) == 100
    assert len({digest(secret.encode()) for secret in made} - {None}) == 100


def test_uses_that_could_not_be_written_down_yield_to_newer_ones() -> None:
    uses = LastUses()
    for moment, id_ in enumerate([1, 2, 1]):
        uses.note(Use(id_, moment, "192.0.2.1"))
    taken = uses.take()
    assert [(use.app_password, use.used_us) for use in taken] == [(2, 1), (1, 2)]
    uses.note(Use(2, 9, "192.0.2.2"))
    uses.give_back(taken)
    assert sorted((use.app_password, use.used_us) for use in uses.take()) == [(1, 2), (2, 9)]
    for id_ in range(12_000):
        uses.note(Use(id_, id_, ""))
    assert [use.app_password for use in uses.take()] == list(range(2_000, 12_000))


def test_credentials_are_forgotten_when_the_time_is_zero(make: Callable[..., Fixture]) -> None:
    fixture = make(verified_seconds=0)
    fixture.login()
    fixture.login()
    assert fixture.pool.hashes == 2


def test_one_name_has_one_key() -> None:
    assert name_key("JOSE\u0301@example.org".encode()) == name_key("josé@Example.ORG".encode())
    assert name_key(b"  ") is None
