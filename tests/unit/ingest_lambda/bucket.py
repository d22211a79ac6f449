"""The part of S3 that the inbox talks to, in memory: the edge of the network in unit tests."""

from __future__ import annotations

import io
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError


class Bucket:
    """Keeps objects as bytes by key.

    Attributes:
        objects: What is stored.
        away: Whether no call is answered.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.away = False

    def put_object(self, *, Bucket: str, Key: str, Body: Any, IfNoneMatch: str = "") -> None:  # noqa: N803
        self._answer(Bucket)
        if IfNoneMatch and Key in self.objects:
            raise _refusal("PreconditionFailed", "PutObject")
        self.objects[Key] = Body if isinstance(Body, bytes) else Body.read()

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self._answer(Bucket)
        if Key not in self.objects:
            raise _refusal("NoSuchKey", "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        self._answer(Bucket)
        self.objects.pop(Key, None)

    def copy_object(self, *, Bucket: str, Key: str, CopySource: dict[str, str]) -> None:  # noqa: N803
        self._answer(Bucket)
        self.objects[Key] = self.objects[CopySource["Key"]]

    def list_objects_v2(self, *, Bucket: str, Prefix: str) -> dict[str, Any]:  # noqa: N803
        self._answer(Bucket)
        found = sorted(key for key in self.objects if key.startswith(Prefix))
        sizes = [(key, len(self.objects[key])) for key in found]
        return {
            "Contents": [{"Key": key, "Size": size, "ETag": f"{key} {size}"} for key, size in sizes]
        }

    def get_paginator(self, _name: str) -> Bucket:
        return self

    def paginate(self, **query: Any) -> list[dict[str, Any]]:
        return [self.list_objects_v2(**query)]

    def keys(self, prefix: str) -> list[str]:
        """Return what is below `prefix`, without it."""
        return sorted(key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))

    def _answer(self, bucket: str) -> None:
        if self.away:
            raise EndpointConnectionError(endpoint_url=f"s3://{bucket}")


def _refusal(code: str, call: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, call)
