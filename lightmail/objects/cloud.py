"""Objects behind obstore: S3 and whatever speaks its protocol, and the memory of this process for tests and trials.

obstore's synchronous calls release the interpreter while they wait, and are safe in many threads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import MemoryStore, S3Store
from twisted.logger import Logger

from lightmail import points
from lightmail.config import S3Config
from lightmail.errors import ConfigError, MailError, Outage, StartupError, Unavailable
from lightmail.objects.backends import ObjectMissing

if TYPE_CHECKING:  # these exist for type checkers alone
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import S3Config as ClientS3Config

log = Logger()

# Parts of a multipart upload: the smallest S3 takes, one on its way at a time, so a message of any size costs 5 MiB.
_PART_OCTETS: Final = 5 << 20
_PARTS_AT_ONCE: Final = 1
_BLOCK_OCTETS: Final = 256 << 10
_PROBE_KEY: Final = "meta/probe"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a call may take. A server that never answers costs `read_seconds`, one not there `retry_seconds`.

    `read_seconds` runs while a part of 5 MiB is being sent, too, and `request_seconds` over the whole of a request.
    """

    connect_seconds: float = 3
    read_seconds: float = 15
    request_seconds: float = 30
    retries: int = 2
    retry_seconds: float = 10

    def client(self, allow_http: bool) -> ClientConfig:
        return {
            "allow_http": allow_http,
            "connect_timeout": timedelta(seconds=self.connect_seconds),
            "read_timeout": timedelta(seconds=self.read_seconds),
            "timeout": timedelta(seconds=self.request_seconds),
            "user_agent": "LightMail",
        }

    def retry(self) -> RetryConfig:
        return {
            "max_retries": self.retries,
            "retry_timeout": timedelta(seconds=self.retry_seconds),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
        }


def memory_store() -> CloudStore:
    """A store that lives and dies with the process."""
    return CloudStore(MemoryStore(), "memory", remote=False)


def s3_store(config: S3Config, deadlines: Deadlines | None = None) -> CloudStore:
    """The bucket of `config`. Without an access key the credentials are those of the environment or the machine."""
    deadlines = deadlines or Deadlines()
    url = endpoint_url(config.endpoint, config.use_ssl) if config.endpoint else None
    options: ClientS3Config = {
        "region": config.region,
        # Servers of one's own are known by one name; Amazon wants the bucket in front of its own.
        "virtual_hosted_style_request": url is None,
    }
    if url is not None:
        options["endpoint"] = url
    if config.access_key:
        options["access_key_id"] = config.access_key
        options["secret_access_key"] = config.secret_key
    store = S3Store(
        config.bucket,
        prefix=config.prefix.strip("/") or None,
        config=options,
        client_options=deadlines.client(allow_http=url is not None and url.startswith("http:")),
        retry_config=deadlines.retry(),
    )
    return CloudStore(store, f"bucket {config.bucket!r} at {url or 'Amazon S3 in ' + config.region}", remote=True)


def endpoint_url(endpoint: str, use_ssl: bool) -> str:
    """The URL of an endpoint: ``host:port`` with the scheme of `use_ssl`, or a URL as it is; ConfigError else."""
    url = endpoint if "://" in endpoint else f"{'https' if use_ssl else 'http'}://{endpoint}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username is not None:
        raise ConfigError(f"[s3] endpoint must be host:port or an http or https URL, not {endpoint!r}")
    return url.rstrip("/")


class CloudStore:
    """An `ObjectStore` over an obstore client. `name` says in messages which store it is."""

    def __init__(self, store: S3Store | MemoryStore, name: str, *, remote: bool) -> None:
        self._store = store
        self._name = name
        self.remote = remote

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        points.reached("object-writing")
        try:
            if isinstance(body, bytes):
                obstore.put(self._store, key, body, use_multipart=False)
            else:
                self._put_in_parts(key, body)
        except (BaseError, OSError) as error:
            raise self._unavailable("put", key, error) from None

    def _put_in_parts(self, key: str, body: BinaryIO) -> None:
        # obstore.put takes readers too, but has 15 MiB of one in memory at times. Leaving by an exception aborts.
        with obstore.open_writer(self._store, key, buffer_size=_PART_OCTETS, max_concurrency=_PARTS_AT_ONCE) as upload:
            while block := body.read(_BLOCK_OCTETS):
                upload.write(block)
                points.reached("object-part")

    def read(self, key: str, start: int, stop: int) -> bytes:
        try:
            return bytes(obstore.get_range(self._store, key, start=start, end=stop))
        except (BaseError, OSError) as error:
            if _beyond_end(error):
                return b""
            raise self._read_error("read", key, error) from None

    def size(self, key: str) -> int | None:
        try:
            # Not HEAD: its 404 has no body, and could be an absent bucket or a proxy with an opinion.
            return obstore.get(self._store, key, options={"range": (0, 1)}).meta["size"]
        except (BaseError, OSError) as error:
            if _beyond_end(error):
                return 0
            failure = self._read_error("size", key, error)
            if isinstance(failure, ObjectMissing):
                return None
            raise failure from None

    def delete(self, keys: Sequence[str]) -> None:
        try:
            obstore.delete(self._store, list(keys))
        except (BaseError, OSError) as error:
            raise self._unavailable("delete", f"{len(keys)} objects", error) from None

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        found: list[str] = []
        try:
            for chunk in obstore.list(self._store, prefix or None, offset=after or None, chunk_size=1000):
                found.extend(item["path"] for item in chunk)
                if len(found) >= limit:
                    break
        except (BaseError, OSError) as error:
            raise self._unavailable("keys", prefix, error) from None
        return found[:limit]

    def check(self) -> None:
        try:
            next(iter(obstore.list(self._store, chunk_size=1)), None)
            obstore.put(self._store, _PROBE_KEY, b"probe")
            obstore.get(self._store, _PROBE_KEY).bytes()
        except (BaseError, OSError) as error:
            raise self._startup_error(_reason(error)) from None

    def _startup_error(self, reason: str) -> StartupError:
        if "NoSuchBucket" in reason or reason.startswith("404"):
            return StartupError(f"The {self._name} does not exist: create it, or correct [s3] bucket ({reason}).")
        if re.search("InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|40[13]", reason):
            return StartupError(
                f"The {self._name} refuses us: correct [s3] access_key and secret_key, or its rights ({reason})."
            )
        return Outage(f"The {self._name} cannot be used: {reason}.")

    def _read_error(self, call: str, key: str, error: Exception) -> MailError:
        # Only the store's own word counts: a 404 of a proxy or of an absent bucket is trouble that may pass.
        if isinstance(error, FileNotFoundError) and (not self.remote or "NoSuchKey" in str(error)):
            return ObjectMissing()
        return self._unavailable(call, key, error)

    def _unavailable(self, call: str, key: str, error: Exception) -> Unavailable:
        reason = f"object store: {call} of {key} in {self._name}: {_reason(error)}"
        log.error("{reason}", reason=reason, call=call, key=key)
        return Unavailable(reason=reason)


def _beyond_end(error: Exception) -> bool:
    """Whether a range began behind the object's end: obstore has no class for it."""
    text = str(error)
    return "416 Range Not Satisfiable" in text or "StartTooLarge" in text


def _reason(error: Exception) -> str:
    """What an obstore error is about, in a few words: its text is a page of nested structures."""
    text = str(error)
    found = (
        re.search(r"<Code>(\w{1,60})</Code>", text),
        re.search(r"status code: (\d{3} [A-Z][\w ]{1,40}\w)", text),
        re.search(r'(?:message|error): "([^"]{1,200})"', text),
    )
    words = [match[1] for match in found if match]
    if "kind: Timeout" in text:
        words.append("no answer in time")
    if "InvalidContentType" in text:
        words.append("it does not speak TLS")
    if certificate := re.search(r"InvalidCertificate\(([\s\w(]{1,300})", text):
        words.append(f"its certificate is refused, {certificate[1].replace('(', ' ').split()[-1]}")
    return ", ".join(dict.fromkeys(words)) or " ".join(text.partition("\n\nDebug source")[0].split())[:300]
