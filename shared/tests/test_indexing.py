"""By what customers are found: folded words, members of indexes, facets, look-ups without what is looked up."""

from datetime import date
from uuid import UUID

import pytest
from customerflow_shared import indexing
from customerflow_shared.ids import uuid7
from customerflow_shared.indexing import MAX_NAME, MAX_WORD, MAX_WORDS, Lookups
from customerflow_shared.normal_forms import email_key
from customerflow_shared.values import Address, ExternalId
from customerflow_shared.views import ConsentView, CustomerView, ErasedView
from msgspec.structs import replace

BORN = 1_795_348_801_005
ID = UUID(int=BORN << 80 | 7 << 76 | 1)
TIME = "2026-11-22T12:00:01.005Z"
VIEW = CustomerView(
    id=ID, version=1, type="person", name="Ana Souza", status="active", created_at=TIME, updated_at=TIME
)
ERASED = ErasedView(id=ID, version=2, erased_at="2026-11-23T00:00:00.000Z")
LOOKUPS = Lookups(bytes(range(32)))


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Ana Souza", "ana souza"),
        ("  JOÃO   d'Ávila ", "joao d avila"),
        ("Søren Łukasz Æther", "soren lukasz aether"),
        ("Straße", "strasse"),
        ("\ufb01nd \uff21\uff22", "find ab"),
        ("a_b-c\0d\ne", "a b c d e"),
        ("\uac00\ub098", "\uac00\ub098"),
        ("\u0130stanbul I\u015f\u0131k", "istanbul isik"),
        ("!!!", ""),
    ],
)
def test_names_are_folded(text: str, folded: str) -> None:
    assert indexing.folded(text) == folded
    assert indexing.folded(folded) == folded


def test_all_names_are_searched_and_the_name_comes_first() -> None:
    company = replace(VIEW, name="Padaria Lima", social_name="Lima", legal_name="Pães Lima Ltda.", trade_name="Pão")
    assert indexing.names(company) == "padaria lima\nlima paes lima ltda pao"
    assert indexing.words(indexing.names(company)) == ["padaria", "lima", "paes", "ltda", "pao"]
    assert indexing.names(VIEW) == "ana souza\n"


def test_words_are_of_bounded_length_and_number() -> None:
    assert indexing.words("x" * 50) == ["x" * MAX_WORD]
    assert len(indexing.words(" ".join(map(str, range(100))))) == MAX_WORDS


def test_members_tell_whose_they_are_and_sort_as_their_texts() -> None:
    members = [indexing.word_member("ana", ID), indexing.name_member("ana", ID), indexing.name_member("", ID), ID.bytes]
    assert {indexing.customer_of(member) for member in members} == {ID}
    high = UUID(int=2**128 - 1)
    assert indexing.name_member("ana", high) < indexing.name_member("ana lima", ID) < indexing.name_member("anab", ID)


def test_a_long_name_is_cut_between_characters() -> None:
    member = indexing.name_member("\u00e9" * MAX_NAME + "a", ID)
    assert member == ("\u00e9" * (MAX_NAME // 2)).encode() + b"\0" + ID.bytes
    assert indexing.name_member("a" + "\u00e9" * MAX_NAME, ID)[:-17].decode() == "a" + "\u00e9" * (MAX_NAME // 2 - 1)


def test_a_customer_has_a_facet_once_and_counts_once() -> None:
    homes = tuple(Address(id=uuid7(), country="BR", region=region, line1="x") for region in ("SP", "RJ", None))
    view = replace(VIEW, addresses=homes)
    assert indexing.facets(view) == {"status:active", "type:person", "country:BR", "region:BR-SP", "region:BR-RJ"}
    assert indexing.counts(view) == {"status:active", "type:person", "country:BR"}


def test_only_a_granted_consent_is_a_facet_and_every_one_counts() -> None:
    def consent(purpose: str, state: str) -> ConsentView:
        return ConsentView(purpose=purpose, channel="email", state=state, captured_at=TIME, source="x")  # type: ignore[arg-type]

    view = replace(VIEW, consents=(consent("a", "granted"), consent("b", "withdrawn"), consent("c:d", "pending")))
    assert indexing.facets(view) - indexing.facets(VIEW) == {"consent:a/email"}
    assert indexing.counts(view) - indexing.counts(VIEW) == {
        "consent:a/email:granted",
        "consent:b/email:withdrawn",
        "consent:c:d/email:pending",
    }


def test_of_an_erased_customer_only_that_it_is_so() -> None:
    assert indexing.facets(ERASED) == indexing.counts(ERASED) == {"status:erased"}
    assert LOOKUPS.of(ERASED) == frozenset()


def test_an_erased_customer_stays_where_it_was_by_its_id() -> None:
    assert indexing.created_score(VIEW) == indexing.created_score(ERASED) == indexing.born(ID) == BORN
    assert indexing.updated_score(VIEW) == BORN
    assert indexing.updated_score(ERASED) == indexing.milliseconds("2026-11-23T00:00:00.000Z") == 1_795_392_000_000
    assert indexing.birthday(ID) == date(2026, 11, 22)


def test_an_id_of_another_version_tells_no_time() -> None:
    assert indexing.birthday(UUID("ffffffff-ffff-5fff-bfff-ffffffffffff")) == date(1970, 1, 1)


def test_what_is_looked_up_does_not_stand_in_the_index() -> None:
    digest = LOOKUPS.email("ana@example.com")
    assert len(digest) == indexing.DIGEST
    assert digest != Lookups(bytes(32)).email("ana@example.com")
    assert LOOKUPS.fingerprint() != Lookups(bytes(32)).fingerprint()
    assert LOOKUPS.fingerprint() == Lookups(bytes(range(32))).fingerprint()


def test_kinds_are_kept_apart() -> None:
    digests = [
        LOOKUPS.phone("+5511999998888"),
        LOOKUPS.tax_id("br_cpf", "+5511999998888"),
        LOOKUPS.tax_id("br_cnpj", "+5511999998888"),
        LOOKUPS.external_id(ExternalId(source="erp", value="+5511999998888")),
        LOOKUPS.external_id(ExternalId(source="er", value="p+5511999998888")),
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ana@Example.COM", "ana@example.com", True),
        ("jose\u0301@example.com", "jos\u00e9@example.com", True),
        ("a@p\u00e3o.example", "a@xn--po-sia.example", True),
        ("jos\u00e9@example.com", "jose@example.com", False),
        ("a.b@example.com", "ab@example.com", False),
    ],
)
def test_an_address_is_found_however_it_is_spelled(one: str, other: str, same: bool) -> None:
    assert (email_key(one) == email_key(other)) is same
    assert (LOOKUPS.email(one) == LOOKUPS.email(other)) is same
