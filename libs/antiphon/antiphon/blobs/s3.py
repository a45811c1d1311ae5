"""Blobs in a bucket of any store that speaks the S3 API; through obstore, which signs, retries and pools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from antiphon.blob import Blob, Blobs, checked, day_of, intact, reference_of
from antiphon.clock import Clock
from antiphon.errors import BlobMissing, BlobStoreDown

if TYPE_CHECKING:
    from obstore.store import S3Config


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where blobs lie: below `prefix` in a bucket, at `endpoint` (None: AWS).

    Without a key, obstore looks for credentials as Amazon's own clients do: AWS_… variables, the pod's or machine's
    role. `patience` is in seconds, for one request with all its retries.
    """

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    key: str | None = None
    secret: str | None = None
    patience: float = 30.0


class S3Blobs(Blobs):
    """An object per blob, named by its reference."""

    def __init__(self, bucket: Bucket, clock: Clock) -> None:
        self.bucket, self._clock, self.store = bucket, clock, _store(bucket)

    def put(self, value: bytes) -> str:
        reference = reference_of(value, self._clock.now())
        try:
            obstore.put(self.store, reference, value)
        except (BaseError, OSError) as error:
            raise self._down("written", reference, error) from error
        return reference

    def get(self, reference: str) -> bytes:
        try:
            found = obstore.get(self.store, checked(reference)).bytes().to_bytes()
        except FileNotFoundError:
            raise BlobMissing(f"there is no blob {reference} in bucket {self.bucket.name}") from None
        except (BaseError, OSError) as error:
            raise self._down("read", reference, error) from error
        return intact(reference, found)

    def delete(self, reference: str) -> None:
        try:
            obstore.delete(self.store, checked(reference))
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise self._down("deleted", reference, error) from error

    def older_than(self, when: float) -> Iterator[Blob]:
        today = day_of(when)
        try:
            days = obstore.list_with_delimiter(self.store)["common_prefixes"]
            for day in sorted(found for found in days if found < today):
                for several in obstore.list(self.store, prefix=day):
                    yield from (Blob(one["path"], one["size"]) for one in several)
        except (BaseError, OSError) as error:
            raise self._down("listed", "…", error) from error

    def _down(self, what: str, reference: str, error: Exception) -> BlobStoreDown:
        reason = str(error).partition("\n")[0][:300]
        return BlobStoreDown(f"blob {reference} cannot be {what} in bucket {self.bucket.name}: {reason}")


def _store(bucket: Bucket) -> S3Store:
    config: S3Config = {"region": bucket.region, "virtual_hosted_style_request": bucket.endpoint is None}
    if bucket.endpoint is not None:
        config["endpoint"] = bucket.endpoint
    if bucket.key is not None:
        config["access_key_id"], config["secret_access_key"] = bucket.key, bucket.secret or ""
    return S3Store(
        bucket.name,
        prefix=bucket.prefix or None,
        config=config,
        client_options={"allow_http": bucket.endpoint is not None and bucket.endpoint.startswith("http://")},
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=bucket.patience)},
    )
