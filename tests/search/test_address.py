"""Addresses of an index, parsed by hand; secrets are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcse_kit import errors
from simcse_kit.errors import Notice, SearchIndexError
from simcse_kit.search.address import Address, index_address, masked, parse_address, secrets_of


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_said", set())


@pytest.mark.parametrize(
    ("text", "uri", "path"),
    [
        ("tickets-index", None, "tickets-index"),
        ("/srv/indexes/tickets", None, "/srv/indexes/tickets"),
        (r"C:\indexes\tickets", None, r"C:\indexes\tickets"),
        ("C:/indexes/tickets", None, "C:/indexes/tickets"),
        ("./milvus:odd", None, "./milvus:odd"),
        ("tickets.db/tickets", None, "tickets.db/tickets"),
        ("milvus:tickets.db/tickets", "tickets.db", "tickets"),
        ("milvus:data/of/tickets.db/tickets_2", "data/of/tickets.db", "tickets_2"),
        ("milvus:/srv/a.db/b.db/_x", "/srv/a.db/b.db", "_x"),
        (r"milvus:C:\data\tickets.db\tickets", r"C:\data\tickets.db", "tickets"),
        ("milvus:C:/data/tickets.db/tickets", "C:/data/tickets.db", "tickets"),
        ("milvus:http://host:19530/tickets", "http://host:19530", "tickets"),
        ("milvus:https://me:pw@host/base/tickets", "https://me:pw@host/base", "tickets"),
        ("milvus:http://[::1]:19530/tickets", "http://[::1]:19530", "tickets"),
        ("milvus:unix:/run/milvus.sock/tickets", "unix:/run/milvus.sock", "tickets"),
    ],
)
def test_addresses(text: str, uri: str | None, path: str) -> None:
    found = parse_address(text)
    assert (found.uri, found.path) == (uri, path)
    assert parse_address(found) is found


def test_a_path_loses_a_slash_and_gets_it_back() -> None:
    assert str(Path("milvus:http://host:19530/x")) == "milvus:http:/host:19530/x"
    assert parse_address(Path("milvus:http://host:19530/x")) == parse_address("milvus:http://host:19530/x")
    assert parse_address(Path("milvus:/srv/a.db/x")).uri == "/srv/a.db"
    assert parse_address(Path("milvus:C:/srv/a.db/x")).uri == "C:/srv/a.db"
    assert parse_address(Path("a/b")) == Address("a/b")


@pytest.mark.parametrize(
    "text",
    [
        "milvus:",
        "milvus:tickets.db",
        "milvus:tickets.db/",
        "milvus:dir/tickets.db",
        "milvus:tickets/x",
        "milvus:.db/x",
        "milvus:tickets",
        "milvus:http://host:19530",
        "milvus:http://host:19530/",
        "milvus:http:///x",
    ],
)
def test_an_address_without_a_name_shows_the_forms(text: str) -> None:
    with pytest.raises(SearchIndexError) as caught:
        parse_address(text)
    assert str(caught.value) == (
        f"{text} names no collection; use a folder, milvus:FILE.db/NAME, or milvus:http://HOST:19530/NAME"
    )


def test_other_addresses_that_are_refused() -> None:
    with pytest.raises(SearchIndexError, match=r"letters, digits and underscores .*; got 'my-index'"):
        parse_address("milvus:x.db/my-index")
    with pytest.raises(SearchIndexError, match=r"^http://a:\*\*\*@host/x is not the address of an index; use a f"):
        parse_address("http://a:b@host/x")


def test_the_old_way_says_the_new_one_once() -> None:
    def opened() -> list[Address]:
        old = {"store": "milvus", "uri": "http://me:hush@host:19530", "token": "secret-token"}
        return [index_address("tickets", **old) for _ in range(2)]

    with pytest.warns(Notice) as said:
        found = opened()
    texts = [str(one.message) for one in said]
    assert found == 2 * [Address("tickets", "http://me:hush@host:19530", "secret-token")]
    assert len(texts) == 2
    assert "the environment variable MILVUS_TOKEN instead of token (--token)" in texts[0]
    assert texts[1].endswith("deprecated: use the address milvus:http://me:***@host:19530/tickets instead")
    assert "hush" not in "".join(texts)
    assert "secret" not in "".join(texts)


def test_the_old_way_to_say_a_folder() -> None:
    with pytest.warns(Notice, match=r"\(--store, --uri\) are deprecated: use the address tickets instead$"):
        assert index_address("tickets", store="folder") == Address("tickets")


def test_a_token_beside_an_address() -> None:
    with pytest.warns(Notice, match="MILVUS_TOKEN"):
        assert index_address("milvus:x.db/a", token="t").token == "t"
    with pytest.raises(SearchIndexError, match="uri and token need a Milvus index"):
        index_address("folder", token="t")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:password@host:19530/db", "http://user:***@host:19530/db"),
        ("http://token@host", "http://***@host"),
        ("http://user:p@ss/wo:rd@host/x", "http://user:***@host/x"),
        ("milvus:http:/user:pw@host/x", "milvus:http:/user:***@host/x"),
        ("at https://a:b@c.d: no; at tcp://e:f@g", "at https://a:***@c.d: no; at tcp://e:***@g"),
        ("http://h/x?token=abc&k=1", "http://h/x?token=***&k=1"),
        ("http://host:19530/x", "http://host:19530/x"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_passwords_and_tokens_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_secrets_are_masked_wherever_they_stand() -> None:
    assert masked("bad token abcd-1234", "abcd-1234", None, "") == "bad token ***"
    assert masked("no such user: root, Milvus", "root:Milvus") == "no such user: root, ***"
    assert masked("a", "a") == "a"  # would mask every a
    assert secrets_of("http://u:p%40ss@h", "t") == ["t", "p%40ss", "p@ss"]
    assert secrets_of("http://h", None) == []


def test_an_address_is_never_shown_with_its_secrets() -> None:
    address = Address("x", "http://user:hush@host", "secret-token")
    assert str(address) == "milvus:http://user:***@host/x"
    assert repr(address) == "Address('milvus:http://user:***@host/x')"
    assert f"{address}" == str(address)
