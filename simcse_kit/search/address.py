"""Addresses of indexes, as text: a folder, or a Milvus collection. Secrets in an address are never shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from simcse_kit.errors import SearchIndexError, say_once

FORMS = "a folder, milvus:FILE.db/NAME, or milvus:http://HOST:19530/NAME"
STORES = {
    "folder": "a folder of this machine",
    "milvus": "a collection of Milvus: a file of Milvus Lite, or a server",
}
_PREFIX = "milvus:"
_USER = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*:/{1,2})(?P<user>[^\s:@]*)(?P<password>:\S*)?@")
_QUERY = re.compile(r"(?P<name>[?&](?:token|password|api_key)=)[^&\s'\"]*", re.IGNORECASE)
_LEAST_SECRET = 4  # characters; shorter secrets occur in any text


@dataclass(frozen=True, repr=False)
class Address:
    """Address of an index; as text it hides secrets."""

    path: str  # a folder; in Milvus the name of a collection
    uri: str | None = None  # in Milvus: a file *.db, or http://host:19530; None: a folder
    token: str | None = None  # Milvus only; None: the environment variable MILVUS_TOKEN, if set

    def __str__(self) -> str:
        return self.path if self.uri is None else masked(f"{_PREFIX}{self.uri}/{self.path}")

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


def parse_address(index: str | Path | Address) -> Address:
    """Parse an address; `FORMS` describes its forms.

    >>> parse_address("tickets-index"), parse_address("milvus:tickets.db/tickets").uri
    (Address('tickets-index'), 'tickets.db')
    >>> parse_address("milvus:http://me:secret@host:19530/tickets")
    Address('milvus:http://me:***@host:19530/tickets')

    Raises:
        SearchIndexError: a Milvus address without a collection's name, or with one that Milvus does not allow.
    """
    if isinstance(index, Address):
        return index
    text = str(index)
    if isinstance(index, Path):  # which merges double slashes
        text = re.sub(r"^(milvus:\w+:)/(?!/)", r"\1//", text) if re.match(r"milvus:\w{2,}:/", text) else text
    if not text.startswith(_PREFIX):
        if "://" in text:
            raise SearchIndexError(f"{masked(text)} is not the address of an index; use {FORMS}")
        return Address(text)
    rest = text.removeprefix(_PREFIX)
    if "://" in rest or rest.startswith("unix:"):
        scheme, separator, after = rest.partition("://" if "://" in rest else "unix:")
        host, _, name = after.rpartition("/")
        uri = f"{scheme}{separator}{host}" if host else ""
    else:
        found = re.fullmatch(r"(.*[^/\\]\.db)[/\\]([^/\\]*)", rest)
        uri, name = found.groups() if found else ("", "")
    if not uri or not name:
        raise SearchIndexError(f"{masked(text)} names no collection; use {FORMS}")
    return Address(check_name(name), uri)


def index_address(
    index: str | Path | Address, store: str | None = None, uri: str | None = None, token: str | None = None
) -> Address:
    """The address of an index. ``store``, ``uri`` and ``token`` are deprecated, with a notice.

    Raises:
        SearchIndexError: arguments that contradict each other, or errors of `parse_address`.
    """
    if token is not None:
        say_once(
            "set Milvus's token in the environment variable MILVUS_TOKEN instead of token (--token): other "
            "users can see the arguments of a command",
            key="address: token",
        )
    if store is None and uri is None:
        found = parse_address(index)
        if found.uri is None and token is not None:
            raise SearchIndexError(f"uri and token need a Milvus index (--store milvus), whose address is {FORMS}")
        return found if token is None else Address(found.path, found.uri, token)
    milvus = milvus_uri(store, uri)
    address = Address(str(index), milvus, token) if milvus is not None else Address(str(index))
    if milvus is None and token is not None:
        raise SearchIndexError(f"uri and token need a Milvus index (--store milvus), whose address is {FORMS}")
    say_once(
        f"store and uri (--store, --uri) are deprecated: use the address {address} instead",
        key="address: store",
    )
    return address


def milvus_uri(store: str | None, uri: str | None) -> str | None:
    """The deprecated uri, or None for a folder."""
    if store is not None and store not in STORES:
        raise SearchIndexError(f"store must be one of {', '.join(STORES)}; got {store!r}")
    if store != "milvus":
        if uri is not None:
            raise SearchIndexError(f"uri and token need a Milvus index (--store milvus), whose address is {FORMS}")
        return None
    if not uri:
        raise SearchIndexError("store milvus needs a uri: --uri FILE.db or --uri http://host:19530")
    return uri


def check_name(name: str) -> str:
    """The name, if Milvus accepts it for a collection."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", name):
        raise SearchIndexError(
            "a Milvus collection's name has letters, digits and underscores and does not start with a digit; "
            f"got {masked(name)!r}"
        )
    return name


def masked(text: object, *secrets: str | None) -> str:
    """A text with the passwords and tokens of its addresses, and ``secrets``, replaced.

    >>> masked("no answer from http://root:Milvus@host:19530 (token=abcd1234)", "abcd1234")
    'no answer from http://root:***@host:19530 (token=***)'
    """

    def user(found: re.Match[str]) -> str:
        return found["scheme"] + (f"{found['user']}:***@" if found["password"] else "***@")

    shown = _QUERY.sub(r"\g<name>***", _USER.sub(user, str(text)))
    for secret in {part for whole in secrets if whole for part in _parts(whole)}:
        shown = shown.replace(secret, "***")
    return shown


def secrets_of(uri: str, token: str | None) -> list[str]:
    """Secrets that a server's answers must not show: the token, and the password of a uri, raw and URL-encoded."""
    found = _USER.search(uri)
    password = (found["password"] or f":{found['user']}")[1:] if found else ""
    return [secret for secret in (token, password, unquote(password)) if secret]


def _parts(secret: str) -> list[str]:
    """The token, and its password if it has the form user:password."""
    return [part for part in (secret, secret.partition(":")[2]) if len(part) >= _LEAST_SECRET]
