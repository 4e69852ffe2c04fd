"""Address lists: the forms of RFC 5322, its appendix's examples, and what people send instead."""

from __future__ import annotations

import pytest

from lightmail.mime.addresses import GROUP_END, MAX_ADDRESSES, Address, parse_addresses


def one(name: bytes | None, mailbox: bytes, host: bytes, route: bytes | None = None) -> Address:
    return Address(name, route, mailbox, host)


def group(name: bytes, *members: Address) -> list[Address]:
    return [Address(None, None, name, None), *members, GROUP_END]


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        # RFC 5322 appendix A
        (b"John Doe <jdoe@machine.example>", [one(b"John Doe", b"jdoe", b"machine.example")]),
        (b'"Joe Q. Public" <john.q.public@example.com>', [one(b"Joe Q. Public", b"john.q.public", b"example.com")]),
        (
            b"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
            [
                one(b"Mary Smith", b"mary", b"x.test"),
                one(None, b"jdoe", b"example.org"),
                one(b"Who?", b"one", b"y.test"),
            ],
        ),
        (
            b'<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
            [one(None, b"boss", b"nil.test"), one(b'Giant; "Big" Box', b"sysservices", b"example.net")],
        ),
        (
            b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
            [one(b"Pete", b"pete", b"silly.test")],
        ),
        (
            b"A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n"
            b"         joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
            group(
                b"A Group",
                one(b"Chris Jones", b"c", b"public.example"),
                one(None, b"joe", b"example.org"),
                one(b"John", b"jdoe", b"one.test"),
            ),
        ),
        (b"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", group(b"Hidden recipients")),
        (b"Joe Q. Public <john.q.public@example.com>", [one(b"Joe Q. Public", b"john.q.public", b"example.com")]),
        (
            b"Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
            [one(b"Mary Smith", b"mary", b"example.net", b"@node.test"), one(None, b"jdoe", b"test.example")],
        ),
        (b"<@a.test,@b.test:c@d.test>", [one(None, b"c", b"d.test", b"@a.test,@b.test")]),
        (b"john . doe @ example . com", [one(None, b"john.doe", b"example.com")]),
        (b'"john doe"@x.test', [one(None, b"john doe", b"x.test")]),
        (b'<"a \\"b"@x.test>', [one(None, b'a "b', b"x.test")]),
        (b"a@[192.0.2.1], b <c@[IPv6:::1]>", [one(None, b"a", b"[192.0.2.1]"), one(b"b", b"c", b"[IPv6:::1]")]),
        (b"joe@x.test (Joe Doe)", [one(b"Joe Doe", b"joe", b"x.test")]),
        (b"(Joe) joe@x.test (Joe Doe)", [one(b"Joe Doe", b"joe", b"x.test")]),
        # what is sent instead
        (b"", []),
        (b" , ,, ", []),
        (b"(only a comment)", []),
        (b"root", [one(None, b"root", b"")]),
        (b"Mail Daemon", [one(b"Mail Daemon", b"", b"")]),
        (b"Mail Daemon <>", [one(b"Mail Daemon", b"", b"")]),
        (b"Joe <joe>", [one(b"Joe", b"joe", b"")]),
        (b"Joe\t  Doe <joe@x.test>", [one(b"Joe Doe", b"joe", b"x.test")]),
        (b'"" <joe@x.test>', [one(None, b"joe", b"x.test")]),
        (b'"Joe"Doe <joe@x.test>', [one(b"JoeDoe", b"joe", b"x.test")]),
        (b'"Joe" joe@x.test', [one(b"Joe", b"joe", b"x.test")]),
        (b"Joe Doe joe@x.test", [one(b"Joe Doe", b"joe", b"x.test")]),
        (b"=?utf-8?q?Doe,_J?= <joe@x.test>", [one(b"=?utf-8?q?Doe,_J?=", b"joe", b"x.test")]),
        (b"J\xc3\xb6 <j\xc3\xb6@\xc3\xb6.test>", [one(b"J\xc3\xb6", b"j\xc3\xb6", b"\xc3\xb6.test")]),
        (b"[list] Joe <joe@x.test>", [one(b"[list] Joe", b"joe", b"x.test")]),
        (b"Joe <joe@x.test> junk, b@c", [one(b"Joe", b"joe", b"x.test"), one(None, b"b", b"c")]),
        (b"Joe <joe@x.test>> , b@c", [one(b"Joe", b"joe", b"x.test"), one(None, b"b", b"c")]),
        (b"Joe <joe@x.test, b@c", [one(b"Joe", b"joe", b"x.test"), one(None, b"b", b"c")]),
        (b'"Joe <joe@x.test>, b@c', [one(b"Joe", b"joe", b"x.test"), one(None, b"b", b"c")]),
        (b"Joe (Doe <joe@x.test>, b@c", [one(b"Joe Doe", b"joe", b"x.test"), one(None, b"b", b"c")]),
        (b"a@b; c@d", [one(None, b"a", b"b"), one(None, b"c", b"d")]),
        (b"<a@b@c>, a@b@c", [one(None, b"a@b", b"c"), one(None, b"a@b", b"c")]),
        (b"g: a@b, c@d", group(b"g", one(None, b"a", b"b"), one(None, b"c", b"d"))),
        (b"g:; h:a@b;", [*group(b"g"), *group(b"h", one(None, b"a", b"b"))]),
        (b"a..b@c, .d@e.", [one(None, b"a..b", b"c"), one(None, b".d", b"e.")]),
        (b"Joe <first> <joe@x.test>", [one(b"Joe", b"joe", b"x.test")]),
    ],
)
def test_addresses(value: bytes, addresses: list[Address]) -> None:
    assert parse_addresses(value) == addresses


def test_the_ordinary_form_is_read_alike_within_a_list_that_is_not() -> None:
    ordinary = b'"A" <a@b>, C D <c@d>, e@f, <g@h>'
    assert parse_addresses(b"(x) i@j, " + ordinary)[1:] == parse_addresses(ordinary)


def test_a_list_ends_at_its_bound() -> None:
    assert len(parse_addresses(b"a@b," * 5000)) == MAX_ADDRESSES
    assert len(parse_addresses(b"(x) a@b," * 5000)) == MAX_ADDRESSES
    assert len(parse_addresses(b"a:b@c;" * 5000)) <= MAX_ADDRESSES + 1
