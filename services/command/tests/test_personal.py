"""Personal data at rest is unreadable without the customer's key, and cannot be moved to another place."""

import base64
from uuid import UUID

import msgspec
import pytest
from customerflow_command.customer.claims import Claim
from customerflow_command.personal import (
    MasterKeys,
    Pepper,
    Sealed,
    UnreadableEvent,
    WrappedKey,
    new_data_key,
    seal,
    unseal,
)
from customerflow_shared.events import CustomerArchived, CustomerEmailChanged, CustomerEvent, CustomerRegistered

CUSTOMER, EVENT, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
KEY = new_data_key()
REGISTERED = CustomerRegistered(customer_type="person", name="Ana Souza", email="ana@example.com")


def key_text(byte: int) -> str:
    return base64.b64encode(bytes([byte]) * 32).decode()


@pytest.mark.parametrize(
    "event", [REGISTERED, CustomerEmailChanged(email="a@example.com", previous_email=None), CustomerArchived()]
)
def test_what_is_sealed_can_be_unsealed(event: CustomerEvent) -> None:
    assert unseal(seal(event, KEY, CUSTOMER, EVENT), KEY, CUSTOMER, EVENT) == event


def test_personal_fields_are_only_in_the_ciphertext() -> None:
    sealed = seal(REGISTERED, KEY, CUSTOMER, EVENT)
    assert msgspec.json.decode(sealed.data) == {"customerType": "person"}
    assert sealed.pii is not None
    assert b"Ana" not in sealed.pii


def test_an_event_without_personal_fields_has_no_ciphertext() -> None:
    assert seal(CustomerArchived(), KEY, CUSTOMER, EVENT) == Sealed("CustomerArchived", 1, "{}", None)


def test_equal_events_have_different_ciphertexts() -> None:
    assert seal(REGISTERED, KEY, CUSTOMER, EVENT).pii != seal(REGISTERED, KEY, CUSTOMER, EVENT).pii


def test_a_ciphertext_is_bound_to_its_place() -> None:
    sealed = seal(REGISTERED, KEY, CUSTOMER, EVENT)
    assert sealed.pii is not None
    for forged, key, customer, event in [
        (sealed, KEY, OTHER, EVENT),
        (sealed, KEY, CUSTOMER, OTHER),
        (sealed, new_data_key(), CUSTOMER, EVENT),
        (Sealed("CustomerEmailChanged", 1, sealed.data, sealed.pii), KEY, CUSTOMER, EVENT),
        (Sealed(sealed.name, 1, sealed.data, sealed.pii[:-1] + b"\0"), KEY, CUSTOMER, EVENT),
        (Sealed(sealed.name, 1, sealed.data, b""), KEY, CUSTOMER, EVENT),
        (Sealed(sealed.name, 1, "[]", sealed.pii), KEY, CUSTOMER, EVENT),
        (Sealed(sealed.name, 1, "nonsense", sealed.pii), KEY, CUSTOMER, EVENT),
        (Sealed("CustomerTeleported", 1, "{}", None), KEY, CUSTOMER, EVENT),
        (Sealed("CustomerArchived", 2, "{}", None), KEY, CUSTOMER, EVENT),
    ]:
        with pytest.raises(UnreadableEvent):
            unseal(forged, key, customer, event)


def test_without_its_key_an_event_is_redacted() -> None:
    sealed = seal(REGISTERED, KEY, CUSTOMER, EVENT)
    assert unseal(sealed, None, CUSTOMER, EVENT) == CustomerRegistered(customer_type="person", name="")


def test_the_first_master_key_wraps_and_all_unwrap() -> None:
    old, both = MasterKeys(f"k1={key_text(1)}"), MasterKeys(f"k2={key_text(2)}, k1={key_text(1)}")
    assert both.wrap(KEY).master_key_id == "k2"
    assert both.unwrap(old.wrap(KEY)) == KEY
    with pytest.raises(UnreadableEvent):
        old.unwrap(both.wrap(KEY))
    with pytest.raises(UnreadableEvent):
        old.unwrap(WrappedKey("k1", both.wrap(KEY).wrapped))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1",
        "k1=",
        "k1=abc",
        f"={key_text(1)}",
        f"k1={key_text(1)},k1={key_text(2)}",
        f"k 1={key_text(1)}",
        f"{'k' * 33}={key_text(1)}",
    ],
)
def test_unfit_master_keys_are_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        MasterKeys(text)
    assert "abc" not in str(caught.value)


def test_a_fingerprint_tells_secrets_apart_and_gives_none_away() -> None:
    keys = MasterKeys(f"k2={key_text(2)},k1={key_text(1)}").fingerprints()
    assert set(keys) == {"master key k1", "master key k2"}
    assert keys["master key k1"] == MasterKeys(f"k1={key_text(1)}").fingerprints()["master key k1"]
    assert len({*keys.values(), Pepper(key_text(3)).fingerprint(), bytes([1]) * 32, bytes([2]) * 32}) == 5


def test_a_claim_is_a_hash_that_depends_on_kind_value_and_pepper() -> None:
    claim = Claim("email", "ana@example.com")
    hashes = {
        Pepper(key_text(1)).claim(claim),
        Pepper(key_text(2)).claim(claim),
        Pepper(key_text(1)).claim(Claim("phone", claim.normal_form)),
        Pepper(key_text(1)).claim(Claim("email", "bia@example.com")),
    }
    assert len(hashes) == 4
    assert {len(one) for one in hashes} == {32}
    assert Pepper(key_text(1)).claim(claim) == Pepper(key_text(1)).claim(claim)
