"""Cursors: where a page ended, in a text that nobody but us can have written.

A cursor is signed with what is stored of the API key, so that every process of the API can check it
and none needs a secret of its own. It is good for that key, dataset, filters and order only.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from telemetry_platform.problems import Problem

if TYPE_CHECKING:
    from access_api.queries import KeyValues
    from telemetry_platform.access_keys.api_key import ApiKey

_SIGNATURE_BYTES = 16


def write_cursor(key: ApiKey, request: dict[str, Any], last: KeyValues) -> str:
    """Return the cursor behind the row whose key is `last`.

    Args:
        key: Who asks.
        request: What the cursor is good for: dataset, filters and order.
        last: Values of the row's key.
    """
    body = orjson.dumps(last)
    return urlsafe_b64encode(_signature(key, request, body) + body).decode().rstrip("=")


def read_cursor(key: ApiKey, request: dict[str, Any], cursor: str) -> KeyValues:
    """Return the key of the row that `cursor` stands behind.

    Raises:
        Problem: 400, the cursor is not one that `write_cursor` gave for this key and request.
    """
    try:
        packed = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (Error, UnicodeEncodeError):
        packed = b""
    signature, body = packed[:_SIGNATURE_BYTES], packed[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(key, request, body)):
        detail = "this cursor was not given for this key with these filters; begin without one"
        raise Problem(HTTPStatus.BAD_REQUEST, "cursor", detail)
    return tuple(orjson.loads(body))


def _signature(key: ApiKey, request: dict[str, Any], body: bytes) -> bytes:
    asked = orjson.dumps(request, option=orjson.OPT_SORT_KEYS, default=str)
    message = sha256(asked).digest() + body
    return hmac.digest(f"cursor {key.hash}".encode(), message, "sha256")[:_SIGNATURE_BYTES]
