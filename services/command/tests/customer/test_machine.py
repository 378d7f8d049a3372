"""Several customers, any commands in any order, beside a model that is nothing but sets and flags."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from customerflow_command.customer.commands import (
    AddAddress,
    AddTaxId,
    ArchiveCustomer,
    CancelErasure,
    ChangeCustomer,
    ConfirmEmail,
    DoWhatIsDue,
    LinkExternalId,
    ReactivateCustomer,
    ReapplyErasure,
    RecordConsent,
    RegisterCustomer,
    RemoveAddress,
    RemoveTaxId,
    RequestEmailVerification,
    RequestErasure,
    RestoreCustomer,
    SetDefaultAddress,
    SuspendCustomer,
    TagCustomer,
    UnlinkExternalId,
    UntagCustomer,
    UpsertCustomer,
)
from customerflow_command.customer.decide import decide
from customerflow_shared.values import Consent, ConsentState, DefaultRole, PersonalProfile, Profile
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import Bundle, MultipleResults, initialize, multiple, precondition, rule

from .model import Account, BesideTheModel, Code, set_archived, set_suspension
from .sentences import CODE, DAY, address, erp, number, tax_id

WHO: Bundle[int] = Bundle("customers")
NAMES = some.sampled_from(["Ana", "Bia"])
EMAILS = some.sampled_from([None, "a@example.com", "A@Example.com", "b@example.com"])
TAGS = some.sampled_from(["vip", "b2b"])
EXTERNAL = some.sampled_from(["1", "2", "3"])
TAX_IDS = some.tuples(some.sampled_from(["br_cpf", "pt_nif", "other"]), some.sampled_from(["1", "2"]))
ROLES = some.sampled_from(["billing", "shipping"])
ANY = some.integers(0, 1)
DAYS = some.integers(0, 3).map(lambda days: days * DAY)
ALWAYS = ("CustomerIsErased", "ErasureIsPending", "CustomerIsArchived")


class Customers(BesideTheModel):
    @initialize(target=WHO)
    def there_are_some(self) -> MultipleResults[int]:
        decided = decide(None, RegisterCustomer(customer_type="person", name="Ana"), self.now)
        return multiple(
            *(who for _ in range(3) if (who := self.begin(decided, Account(name="Ana", email=None))) is not None)
        )

    @rule(target=WHO, name=NAMES, email=EMAILS)
    def register(self, name: str, email: str | None) -> int | MultipleResults[int]:
        command = RegisterCustomer(customer_type="person", name=name, email=email)
        who = self.begin(decide(None, command, self.now), Account(name=name, email=email))
        return multiple() if who is None else who

    @rule(target=WHO, name=NAMES, external=EXTERNAL)
    def upsert(self, name: str, external: str) -> int | MultipleResults[int]:
        """As the mediator finds it: the holder of the external id, or nobody."""
        change = ChangeCustomer(profile=Profile(type="person"), personal=PersonalProfile(name=name))
        command = UpsertCustomer(external_id=erp(external), change=change)
        holder = next((who for who, account in self.model.items() if external in account.external), None)
        if holder is None:
            new = self.begin(decide(None, command, self.now), Account(name=name, email=None, external={external}))
            assert new is not None
            return new
        renamed = self.model[holder].name != name
        self.send(holder, command, (lambda account: setattr(account, "name", name)) if renamed else None)
        return multiple()

    @rule(who=WHO, name=NAMES, email=EMAILS)
    def change(self, who: int, name: str, email: str | None) -> None:
        before = self.model[who]
        renamed, moved = before.name != name, before.email != email

        def change(account: Account) -> None:
            account.name = name
            if moved:
                account.set_email(email)

        command = ChangeCustomer(personal=PersonalProfile(name=name), email=email)
        self.send(who, command, change if renamed or moved else None, events=renamed + moved)

    @rule(who=WHO, tag=TAGS)
    def tag(self, who: int, tag: str) -> None:
        there = tag in self.model[who].tags
        self.send(who, TagCustomer(tag=tag), None if there else lambda account: account.tags.add(tag))

    @rule(who=WHO, tag=TAGS)
    def untag(self, who: int, tag: str) -> None:
        there = tag in self.model[who].tags
        self.send(who, UntagCustomer(tag=tag), (lambda account: account.tags.remove(tag)) if there else None)

    @rule(who=WHO, value=EXTERNAL)
    def link(self, who: int, value: str) -> None:
        there = value in self.model[who].external
        command = LinkExternalId(external_id=erp(value))
        self.send(who, command, None if there else lambda account: account.external.add(value))

    @rule(who=WHO, value=EXTERNAL)
    def unlink(self, who: int, value: str) -> None:
        there = value in self.model[who].external
        command = UnlinkExternalId(external_id=erp(value))
        self.send(who, command, (lambda account: account.external.remove(value)) if there else None)

    @rule(who=WHO, typed=TAX_IDS)
    def add_tax_id(self, who: int, typed: tuple[str, str]) -> None:
        new = self.new_id()
        held = list(self.model[who].tax_ids.values())
        second = typed[0] != "other" and typed not in held and typed[0] in {type for type, _ in held}
        self.send(
            who,
            AddTaxId(tax_id=tax_id(new.int, *typed)),
            None if typed in held else lambda account: account.tax_ids.update({new: typed}),
            refusal="TaxIdTypePresent" if second else None,
        )

    @rule(who=WHO, which=ANY)
    def remove_tax_id(self, who: int, which: int) -> None:
        held = sorted(self.model[who].tax_ids)
        known = which < len(held)
        one = held[which] if known else number(0)
        refusal = None if known else "TaxIdNotFound"
        self.send(who, RemoveTaxId(tax_id_id=one), lambda account: account.tax_ids.pop(one), refusal=refusal)

    @rule(who=WHO)
    def add_address(self, who: int) -> None:
        new = self.new_id()
        full = len(self.model[who].addresses) == 20
        self.send(
            who,
            AddAddress(address=address(new.int)),
            lambda account: account.addresses.add(new),
            refusal="LimitReached" if full else None,
        )

    @rule(who=WHO, which=ANY)
    def remove_address(self, who: int, which: int) -> None:
        one, known = self.some_address(who, which)

        def remove(account: Account) -> None:
            account.addresses.remove(one)
            account.defaults = {role: id for role, id in account.defaults.items() if id != one}

        self.send(who, RemoveAddress(address_id=one), remove, refusal=None if known else "AddressNotFound")

    @rule(who=WHO, which=ANY, role=ROLES)
    def set_default_address(self, who: int, which: int, role: DefaultRole) -> None:
        one, known = self.some_address(who, which)
        there = known and self.model[who].defaults.get(role) == one
        self.send(
            who,
            SetDefaultAddress(role=role, address_id=one),
            None if there else lambda account: account.defaults.update({role: one}),
            refusal=None if known else "AddressUnknown",
        )

    def some_address(self, who: int, which: int) -> tuple[UUID, bool]:
        held = sorted(self.model[who].addresses)
        return (held[which], True) if which < len(held) else (number(0), False)

    @rule(
        who=WHO,
        word=some.sampled_from(["granted", "withdrawn"]),
        purpose=some.sampled_from(["orders", "marketing"]),
        age=DAYS,
    )
    def record_consent(self, who: int, word: ConsentState, purpose: str, age: timedelta) -> None:
        at = self.now - age
        account = self.model[who]
        before = account.consents.get(purpose)
        refusal = "ConsentIsStale" if before and at < before[0] else None
        if account.suspended and (word, purpose) == ("granted", "marketing"):
            refusal = "CustomerIsSuspended"
        self.send(
            who,
            RecordConsent(consent=Consent(purpose=purpose, channel="email", state=word, captured_at=at, source="web")),
            None if before == (at, word) else lambda account: account.consents.update({purpose: (at, word)}),
            refusal=refusal,
            except_if=("ErasureIsPending",) if word == "withdrawn" else (),
        )

    @rule(who=WHO, lasts=DAYS)
    def request_code(self, who: int, lasts: timedelta) -> None:
        new = self.new_id()
        expires_at = self.now + lasts
        account = self.model[who]
        code, number = account.code, account.code.number + 1 if account.code else 1
        retry_at = self.now + min(timedelta(minutes=2 ** (number - 1)), DAY)
        too_soon = code is not None and self.now < code.retry_at
        command = RequestEmailVerification(verification_id=new, code_hash=CODE, expires_at=expires_at)
        self.send(
            who,
            command,
            None if account.verified else lambda account: setattr(account, "code", Code(expires_at, retry_at, number)),
            refusal="CodeIssuedRecently" if too_soon else None if account.email else "ContactChanged",
        )

    @rule(who=WHO, right=some.booleans())
    def confirm(self, who: int, right: bool) -> None:
        account = self.model[who]
        code = account.code
        live = code is not None and self.now < code.expires_at and code.failures < 5

        def tried(account: Account) -> None:
            assert code is not None
            failed = code._replace(failures=code.failures + 1)
            account.code, account.verified = (None, True) if right else (failed, False)

        refusal = None if live else "NoPendingVerification"
        self.send(who, ConfirmEmail(code_hash=CODE if right else "000000"), tried, refusal=refusal)

    @rule(who=WHO, lasts=some.none() | DAYS)
    def suspend(self, who: int, lasts: timedelta | None) -> None:
        until = None if lasts is None else self.now + lasts
        account = self.model[who]
        there = account.suspended and account.until == until
        self.send(who, SuspendCustomer(reason="fraud", until=until), None if there else set_suspension(True, until))

    @rule(who=WHO)
    def reactivate(self, who: int) -> None:
        suspended = self.model[who].suspended
        self.send(who, ReactivateCustomer(), set_suspension(False, None) if suspended else None)

    @rule(who=WHO)
    def archive(self, who: int) -> None:
        there = self.model[who].archived
        self.send(who, ArchiveCustomer(), None if there else set_archived(True), except_if=("CustomerIsArchived",))

    @rule(who=WHO)
    def restore(self, who: int) -> None:
        status = self.model[who].status()
        self.send(
            who,
            RestoreCustomer(),
            set_archived(False) if status == "archived" else None,
            refusal="InvalidTransition" if status == "suspended" else None,
            except_if=("CustomerIsArchived",),
        )

    @rule(who=WHO, grace=some.sampled_from([0, 1, 5, 9, 30]).map(lambda days: days * DAY))
    def request_erasure(self, who: int, grace: timedelta) -> None:
        due_at = self.now + grace
        pending = self.model[who].to_be_erased is not None
        self.send(
            who,
            RequestErasure(due_at=due_at),
            (lambda account: setattr(account, "to_be_erased", due_at)) if grace else Account.erase,
            events=1 if grace or pending else 2,
            except_if=("CustomerIsArchived",) if grace else ("CustomerIsArchived", "ErasureIsPending"),
        )

    @rule(who=WHO)
    def cancel_erasure(self, who: int) -> None:
        pending = self.model[who].to_be_erased is not None
        self.send(
            who,
            CancelErasure(),
            lambda account: setattr(account, "to_be_erased", None),
            refusal=None if pending else "NoPendingErasure",
            except_if=("CustomerIsArchived", "ErasureIsPending"),
        )

    @precondition(lambda self: len(self.model) > 5)
    @rule(who=WHO)
    def reapply_erasure(self, who: int) -> None:
        erased = self.model[who].erased
        self.send(who, ReapplyErasure(), None if erased else Account.erase, except_if=ALWAYS)

    @rule(days=DAYS)
    def time_passes_and_the_system_does_what_is_due(self, days: timedelta) -> None:
        self.now += days
        for who, account in list(self.model.items()):
            change: Callable[[Account], object] | None = None
            if account.to_be_erased and account.to_be_erased <= self.now:
                change = Account.erase
            elif account.until and account.until <= self.now and not account.archived:
                change = set_suspension(False, None)
            self.send(who, DoWhatIsDue(), change, except_if=ALWAYS)


TestCustomers = Customers.TestCase
TestCustomers.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
