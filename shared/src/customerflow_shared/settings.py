"""Environment to a frozen struct, or every fault at once.

A field `mysql_url` is read from `CF_MYSQL_URL`, or from the file named by `CF_MYSQL_URL_FILE`. Values are never
printed: a fault names the variable and the rule, for many of them are secrets.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

MysqlUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^mysql://[^@/\s]+@[^/\s]+/[A-Za-z0-9_]+$")]
AmqpUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^amqps?://\S+$")]
RedisUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^rediss?://\S+$")]
HttpUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+(/\S*)?$")]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Token: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]{16,}\Z")]
Key32: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]  # in base64
LogLevel: TypeAlias = Annotated[str, msgspec.Meta(pattern="^(debug|info|warning|error)$")]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=3600)]

RateLimit: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^([1-9][0-9]{0,8}/[1-9][0-9]{0,4})?\Z")]

PREFIX = "CF_"


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """Where a program listens, and how it leaves; the base of every program's settings."""

    host: str = "127.0.0.1"
    port: Port = 0
    log_level: LogLevel = "info"
    drain_delay: Seconds = 0.0
    """Seconds between readiness going off and the listener closing, for load balancers to notice."""
    max_requests: Annotated[int, msgspec.Meta(ge=1)] = 256
    """That may be under way at a time; whoever comes beyond that is told at once to come again."""
    request_deadline: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 8.0
    """Seconds in which every request is answered, a stream's has begun."""
    rate_limit: RateLimit = ""
    """Of each client: `600/60` are 600 requests in 60 seconds. Without it there is none."""
    trusted_proxies: str = ""
    """Addresses and networks, separated by commas, whose word is taken for where a request comes from."""
    flags: str = ""
    """Feature flags: a file in flagd's format, or flagd://host:port; without it, those that are shipped."""
    operator_token: Token | None = None
    """With it an operator sees, over HTTP, what is switched on and why."""


class SettingsError(Exception):
    """The environment does not hold what the program needs."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def load(cls: type[S], environ: Mapping[str, str]) -> S:
    """Raises SettingsError with one line for each missing or unfit variable."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field in msgspec.structs.fields(cls):
        variable = PREFIX + field.name.upper()
        try:
            text = _lookup(variable, environ)
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{variable}_FILE: {type(error).__name__}: the file cannot be read")
            continue
        if text is None:
            if field.required:
                faults.append(f"{variable}: missing")
            continue
        try:
            values[field.name] = msgspec.convert(text, field.type, strict=False)
        except msgspec.ValidationError as error:
            faults.append(f"{variable}: {error}")
        else:
            if field.name.endswith("_url") and not _has_sound_address(text):
                faults.append(f"{variable}: Expected a port from 0 to 65535 after the host, if any")
    if faults:
        raise SettingsError(faults)
    return cls(**values)


def load_or_exit(cls: type[S], environ: Mapping[str, str]) -> S:
    """For a program's entry point: the faults on standard error and exit code 2."""
    try:
        return load(cls, environ)
    except SettingsError as error:
        exit_with_faults(error.faults)


def exit_with_faults(faults: list[str]) -> NoReturn:
    print("\n".join(["The environment is not fit to start:", *faults]), file=sys.stderr)
    raise SystemExit(2)


def _has_sound_address(url: str) -> bool:
    try:
        urlsplit(url).port  # noqa: B018  # raises for what is none
    except ValueError:
        return False
    return True


def _lookup(variable: str, environ: Mapping[str, str]) -> str | None:
    if variable in environ:
        return environ[variable]
    if path := environ.get(variable + "_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return None
