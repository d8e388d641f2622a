"""Where an index is, as one text: a folder, or a collection of Milvus. What is secret in it is never shown."""

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
_LEAST_SECRET = 4  # characters; what is shorter stands in any text


@dataclass(frozen=True, repr=False)
class Address:
    """Where an index is; as text without what is secret."""

    path: str  # a folder; of Milvus the collection's name
    uri: str | None = None  # of Milvus: a file *.db, or http://host:19530; None: a folder
    token: str | None = None  # of Milvus; None: the environment variable MILVUS_TOKEN, where it is set

    def __str__(self) -> str:
        return self.path if self.uri is None else masked(f"{_PREFIX}{self.uri}/{self.path}")

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


def parse_address(index: str | Path | Address) -> Address:
    """The address of a text; `FORMS` are its forms.

    >>> parse_address("tickets-index"), parse_address("milvus:tickets.db/tickets").uri
    (Address('tickets-index'), 'tickets.db')
    >>> parse_address("milvus:http://me:secret@host:19530/tickets")
    Address('milvus:http://me:***@host:19530/tickets')

    Raises:
        SearchIndexError: of Milvus, and without a collection's name, or with one that Milvus does not take.
    """
    if isinstance(index, Address):
        return index
    text = str(index)
    if isinstance(index, Path):  # which makes one of two slashes
        text = re.sub(r"^(milvus:\w+:)/(?!/)", r"\1//", text) if re.match(r"milvus:\w{2,}:/", text) else text
    if not text.startswith(_PREFIX):
        if "://" in text:
            raise SearchIndexError(f"{masked(text)} is not the address of an index, which is {FORMS}")
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
        raise SearchIndexError(f"{masked(text)} names no collection; an index is {FORMS}")
    return Address(check_name(name), uri)


def index_address(
    index: str | Path | Address, store: str | None = None, uri: str | None = None, token: str | None = None
) -> Address:
    """The address of an index; ``store``, ``uri`` and ``token`` are the old way, which a notice replaces.

    Raises:
        SearchIndexError: what does not fit together, and what `parse_address` refuses.
    """
    if token is not None:
        say_once(
            "give Milvus's token by the environment variable MILVUS_TOKEN, in place of token (--token): an argument is "
            "seen by everybody who lists the processes",
            key="address: token",
        )
    if store is None and uri is None:
        found = parse_address(index)
        if found.uri is None and token is not None:
            raise SearchIndexError(f"uri and token are of a Milvus (--store milvus), whose address is {FORMS}")
        return found if token is None else Address(found.path, found.uri, token)
    milvus = milvus_uri(store, uri)
    address = Address(str(index), milvus, token) if milvus is not None else Address(str(index))
    if milvus is None and token is not None:
        raise SearchIndexError(f"uri and token are of a Milvus (--store milvus), whose address is {FORMS}")
    say_once(
        f"store and uri (--store, --uri) are part of an index's address now; this one is {address}",
        key="address: store",
    )
    return address


def milvus_uri(store: str | None, uri: str | None) -> str | None:
    """The uri of the old way, or None for a folder."""
    if store is not None and store not in STORES:
        raise SearchIndexError(f"store must be one of {', '.join(STORES)}; got {store!r}")
    if store != "milvus":
        if uri is not None:
            raise SearchIndexError(f"uri and token are of a Milvus (--store milvus), whose address is {FORMS}")
        return None
    if not uri:
        raise SearchIndexError("store milvus needs its uri: --uri FILE.db or --uri http://host:19530")
    return uri


def check_name(name: str) -> str:
    """The name, where Milvus takes it for a collection."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", name):
        raise SearchIndexError(
            "over Milvus an index is a collection's name, of letters, digits and underscores and no digit first; got "
            f"{masked(name)!r}"
        )
    return name


def masked(text: object, *secrets: str | None) -> str:
    """A text without the passwords and tokens of the addresses in it, and without ``secrets``.

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
    """What a server's answers must not show: the token, and the password of a uri, written in either way."""
    found = _USER.search(uri)
    password = (found["password"] or f":{found['user']}")[1:] if found else ""
    return [secret for secret in (token, password, unquote(password)) if secret]


def _parts(secret: str) -> list[str]:
    """A token, and where it is user:password the password too."""
    return [part for part in (secret, secret.partition(":")[2]) if len(part) >= _LEAST_SECRET]
