from base64 import b64encode
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from customerflow_shared import settings
from customerflow_shared.settings import AmqpUrl, HttpUrl, Key32, Listen, MysqlUrl, RedisUrl, SettingsError, Token


class Example(Listen, frozen=True, kw_only=True):
    mysql_url: MysqlUrl
    secret: Token
    workers: Annotated[int, msgspec.Meta(ge=1)] = 2


FIT = {"CF_MYSQL_URL": "mysql://me:pw@db:3306/customerflow", "CF_SECRET": "0123456789abcdef"}


def test_values_are_converted_and_defaults_kept() -> None:
    example = settings.load(Example, FIT | {"CF_WORKERS": "5", "CF_PORT": "8080"})
    assert (example.workers, example.port, example.host) == (5, 8080, "127.0.0.1")


def test_every_fault_is_told_at_once_and_no_value_is_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(Example, {"CF_SECRET": "short-pw", "CF_WORKERS": "none", "CF_PORT": "99999"})
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "CF_PORT",
        "CF_MYSQL_URL",
        "CF_SECRET",
        "CF_WORKERS",
    ]
    assert "short-pw" not in str(caught.value)


@pytest.mark.parametrize("port", ["abc", "99999", "-1"])
def test_a_port_that_is_none_is_a_fault_of_its_url(port: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(Example, FIT | {"CF_MYSQL_URL": f"mysql://me:pw@db:{port}/customerflow"})
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["CF_MYSQL_URL"]
    assert "pw@" not in str(caught.value)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789abcdef\n")
    environ = {"CF_MYSQL_URL": FIT["CF_MYSQL_URL"], "CF_SECRET_FILE": str(tmp_path / "secret")}
    assert settings.load(Example, environ).secret == "0123456789abcdef"


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "binary"):
        with pytest.raises(SettingsError, match="CF_SECRET_FILE"):
            settings.load(Example, {"CF_MYSQL_URL": FIT["CF_MYSQL_URL"], "CF_SECRET_FILE": str(path)})


def test_a_program_leaves_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        settings.load_or_exit(Example, {})
    assert caught.value.code == 2
    assert "CF_MYSQL_URL: missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "text", "fit"),
    [
        (MysqlUrl, "mysql://u:p@h/db", True),
        (MysqlUrl, "mysql://h/db", False),
        (MysqlUrl, "postgres://u:p@h/db", False),
        (MysqlUrl, "mysql://u:p@h:3306", False),
        (AmqpUrl, "amqps://h", True),
        (AmqpUrl, "http://h", False),
        (RedisUrl, "redis://h:6379/0", True),
        (RedisUrl, "h:6379", False),
        (HttpUrl, "http://h:8080", True),
        (HttpUrl, "h:8080", False),
        (Token, "0123456789abcde~", True),
        (Token, "0123456789abcde", False),
        (Token, "0123456789abcdefé", False),
        (Token, "0123456789 abcdef", False),
        (Token, "0123456789abcdef\n", False),
    ],
)
def test_addresses_have_their_form(kind: object, text: str, fit: bool) -> None:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        assert not fit
    else:
        assert fit


class Keyed(msgspec.Struct, frozen=True, kw_only=True):
    key: Key32


def test_a_key_is_32_bytes_in_base64() -> None:
    assert settings.load(Keyed, {"CF_KEY": b64encode(bytes(range(32))).decode()}).key == bytes(range(32))


@pytest.mark.parametrize("text", ["", "AAAA", b64encode(bytes(31)).decode(), b64encode(bytes(33)).decode(), "?" * 44])
def test_what_is_no_such_key_is_a_fault_that_does_not_show_it(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(Keyed, {"CF_KEY": text})
    (fault,) = caught.value.faults
    assert fault.startswith("CF_KEY: ")
    assert not text or text not in fault


@pytest.mark.parametrize("limit", ["600/60", "1/1", ""])
def test_a_rate_limit_is_a_number_of_requests_and_of_seconds(limit: str) -> None:
    assert settings.load(Example, FIT | {"CF_RATE_LIMIT": limit}).rate_limit == limit


@pytest.mark.parametrize("limit", ["600", "0/60", "600/0", "600/60s", "-1/60", "600/60\n", "1e3/60", "/"])
def test_what_is_no_rate_limit_is_a_fault(limit: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(Example, FIT | {"CF_RATE_LIMIT": limit})
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["CF_RATE_LIMIT"]
