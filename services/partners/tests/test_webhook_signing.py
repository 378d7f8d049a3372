"""What a receiver checks a delivery by, with the specification's own words and figures."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from uuid import UUID

import pytest
from customerflow_partners.webhooks.signing import Keys, headers, shown

from .receiver import Forged, verified

MASTER = bytes(range(32))
WEBHOOK = UUID("0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11")
EVENT = UUID("0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e12")
AT = datetime(2026, 11, 22, 15, 4, 5, 900_000, tzinfo=UTC)
BODY = '{"id":"é"}'.encode()


def test_the_verification_of_these_tests_takes_the_example_of_the_specification() -> None:
    # https://github.com/standard-webhooks: id, timestamp, body, secret and signature of its libraries' tests
    told = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    verified("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", told, b'{"test": 2432232314}', at=1614265330)


def test_a_delivery_is_signed_so_that_the_receiver_can_verify_it() -> None:
    keys = Keys(MASTER)
    told = headers([keys.secret(WEBHOOK, 1)], EVENT, AT, BODY)
    assert told["webhook-id"] == str(EVENT)
    assert told["webhook-timestamp"] == "1795359845"
    verified(shown(keys.secret(WEBHOOK, 1)), told, BODY, at=1795359845)
    for secret, body in [(keys.secret(WEBHOOK, 2), BODY), (keys.secret(WEBHOOK, 1), BODY + b" ")]:
        with pytest.raises(Forged):
            verified(shown(secret), told, body, at=1795359845)


def test_each_of_two_secrets_verifies_it() -> None:
    keys = Keys(MASTER)
    new, old = keys.secret(WEBHOOK, 2), keys.secret(WEBHOOK, 1)
    told = headers([new, old], EVENT, AT, BODY)
    assert len(told["webhook-signature"].split(" ")) == 2
    for secret in (new, old):
        verified(shown(secret), told, BODY, at=1795359845)


def test_a_secret_is_of_the_form_and_length_that_the_specification_asks_for() -> None:
    text = shown(Keys(MASTER).secret(WEBHOOK, 1))
    assert text.startswith("whsec_")
    assert 24 <= len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) <= 64


def test_a_secret_is_the_same_each_time_and_differs_by_key_by_webhook_and_by_number() -> None:
    secret = Keys(MASTER).secret(WEBHOOK, 1)
    assert secret == Keys(MASTER).secret(WEBHOOK, 1)
    expected = hmac.digest(
        MASTER, b"customerflow webhook secret 1\x00" + WEBHOOK.bytes + bytes(7) + b"\x01", hashlib.sha256
    )
    assert secret == expected, "secrets that are out in the world would change"
    others = [
        Keys(MASTER[::-1]).secret(WEBHOOK, 1),
        Keys(MASTER).secret(EVENT, 1),
        Keys(MASTER).secret(WEBHOOK, 2),
        Keys(MASTER).secret(WEBHOOK, 256),
    ]
    assert len({secret, *others}) == 5


def test_another_master_key_is_noticed_and_a_short_one_refused() -> None:
    assert Keys(MASTER).check_of(WEBHOOK) == Keys(MASTER).check_of(WEBHOOK)
    assert Keys(MASTER).check_of(WEBHOOK) != Keys(MASTER + b"x").check_of(WEBHOOK)
    assert Keys(MASTER).check_of(WEBHOOK) not in Keys(MASTER).secret(WEBHOOK, 1)
    with pytest.raises(ValueError, match="32 bytes"):
        Keys(MASTER[1:])
