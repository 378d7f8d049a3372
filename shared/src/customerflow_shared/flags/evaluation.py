"""What the programs ask: is this on, for this customer?"""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import NamedTuple, NoReturn, Self
from uuid import UUID

import msgspec
import structlog
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason
from openfeature.provider import ProviderStatus
from openfeature.provider.no_op_provider import NoOpProvider

from customerflow_shared import metrics, settings
from customerflow_shared.flags.catalogue import SHARED, Flag, variant_of
from customerflow_shared.flags.file import Unfit
from customerflow_shared.flags.sources import SERVER, File, Server, Source

log = structlog.get_logger()

_domains = (f"customerflow-{number}" for number in count(1))
_refused = metrics.gauge(
    "customerflow.flags.refused",
    "{source}",
    "1 while the flags in force are not those that their source holds, else 0.",
)
_on = metrics.gauge(
    "customerflow.flags.on",
    "{flag}",
    "1 for a flag that is on for everybody, 0 for one that is off; none for one that is decided by customer.",
    ["feature_flag.key"],
)
_BY_NOTHING = (Reason.STATIC, Reason.DISABLED)
_NOT_THERE = (ErrorCode.FLAG_NOT_FOUND, ErrorCode.PROVIDER_NOT_READY, ErrorCode.TYPE_MISMATCH)


class Choice(NamedTuple):
    """What a flag said once; whoever decides by it keeps it."""

    flag: str
    on: bool
    variant: str


class Standing(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A flag as it is for a customer, or for nobody in particular. `reason` is OpenFeature's: STATIC, TARGETING_MATCH,
    DEFAULT (the targeting chose nothing), DISABLED, or ERROR with an `error`: then it is what it is by default.
    """

    flag: str
    value: bool
    variant: str
    reason: str
    error: str | None = None
    by_customer: bool = False
    purpose: str


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Every flag that the program has. `in_force`: it is what the `source` holds now; if not, `fault` says why, and the
    flags are as they were at `taken_at`. `unknown`: flags that no program has, perhaps misspelt.
    """

    source: str
    in_force: bool
    fault: str | None = None
    taken_at: datetime | None = None
    customer: UUID | None = None
    flags: list[Standing]
    unknown: list[str] = []


class Flags:
    """Flags that nobody in particular is the target of are evaluated when they change, the others when they are asked
    for: an evaluation costs some 50 microseconds, a look at one that is known a fraction of one.
    """

    def __init__(self, source: Source, *own: Flag) -> None:
        self._source = source
        self._declared = _by_key(own)
        self._lock = threading.Lock()
        self._fixed: dict[str, Choice] = {}
        self._told: set[tuple[str, str]] = set()
        self._handlers: list[tuple[ProviderEvent, Callable[[EventDetails], None]]] = []
        self._domain = next(_domains)
        self._client = api.get_client(self._domain)
        try:
            api.set_provider_and_wait(source.provider, self._domain)
        except OpenFeatureError as error:
            log.warning("flags are not there yet", source=source.name, error=str(error) or type(error).__name__)
        self._settle()
        _refused.read(lambda: float(source.fault is not None))
        if isinstance(source, Server):
            for event in ProviderEvent:
                self._on(event, self._hear)
        for event in (ProviderEvent.PROVIDER_READY, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED):
            self._on(event, self._settle)

    def _on(self, event: ProviderEvent, handler: Callable[[EventDetails], None]) -> None:
        self._handlers.append((event, handler))
        self._client.add_handler(event, handler)

    def _hear(self, details: EventDetails) -> None:
        """Of a server. Handlers may be called in another order than what they tell of has happened in."""
        assert isinstance(self._source, Server)
        with self._lock:
            if self._client.get_provider_status() is ProviderStatus.READY:
                self._source.answered(details)
            else:
                self._source.lost(details)

    @classmethod
    def open(cls, setting: str, *own: Flag) -> Self:
        """`own`: the flags of this program alone. `setting`: a path, `flagd://host:port`, or nothing for the file that
        the programs are shipped with. Raises Unfit.
        """
        if setting.startswith(SERVER):
            return cls(Server(setting), *own)
        return cls(File(Path(setting) if setting else None, _by_key(own)), *own)

    @classmethod
    def open_or_exit(cls, setting: str, *own: Flag) -> Self:
        """For a program's entry: the faults on standard error and exit code 2."""
        try:
            return cls.open(setting, *own)
        except Unfit as unfit:
            _exit(unfit)

    @property
    def declared(self) -> Sequence[Flag]:
        """All that the program has."""
        return [*self._declared.values()]

    async def watch(self) -> None:
        """For ever: take over what changes."""
        await self._source.watch()

    def close(self) -> None:
        for event, handler in self._handlers:
            self._client.remove_handler(event, handler)
        api.set_provider(NoOpProvider(), self._domain)

    def on(self, flag: Flag, customer_id: UUID | None = None) -> bool:
        return (self._fixed.get(flag.key) or self._choice(flag, customer_id)).on

    def off(self, *flags: Flag) -> Sequence[str]:
        """Which of them are off."""
        return [flag.key for flag in flags if not self.on(flag)]

    def choose(self, flag: Flag, customer_id: UUID | None = None) -> Choice:
        return self._fixed.get(flag.key) or self._choice(flag, customer_id)

    def report(self, customer_id: UUID | None = None) -> Report:
        self._source.look()
        source = self._source
        return Report(
            source=source.name,
            in_force=source.fault is None,
            fault=source.fault,
            taken_at=source.taken_at,
            customer=customer_id,
            flags=[self._standing(flag, customer_id) for flag in self._declared.values()],
            unknown=[*source.unknown],
        )

    def _settle(self, _: EventDetails | None = None) -> None:
        with self._lock:  # who is last has seen the newest
            fixed: dict[str, Choice] = {}
            for flag in self._declared.values():
                details = self._details(flag, None)
                if _is_fixed(details):
                    fixed[flag.key] = _choice(flag, details)
                choice = fixed.get(flag.key)
                _on.set(None if choice is None else float(choice.on), flag.key)
            self._fixed = fixed
            self._told.clear()

    def _choice(self, flag: Flag, customer_id: UUID | None) -> Choice:
        details = self._details(flag, customer_id)
        if details.error_code and (flag.key, details.error_code) not in self._told:
            self._told.add((flag.key, details.error_code))
            log.error("flag cannot be evaluated", flag=flag.key, error=details.error_code, by_default=flag.variant)
        return _choice(flag, details)

    def _details(self, flag: Flag, customer_id: UUID | None) -> FlagEvaluationDetails[bool]:
        context = None if customer_id is None else EvaluationContext(str(customer_id))
        return self._client.get_boolean_details(flag.key, flag.default, context)

    def _standing(self, flag: Flag, customer_id: UUID | None) -> Standing:
        details = self._details(flag, customer_id)
        choice = _choice(flag, details)
        return Standing(
            flag=flag.key,
            value=choice.on,
            variant=choice.variant,
            reason=str(details.reason or Reason.UNKNOWN),
            error=str(details.error_code) if details.error_code else None,
            by_customer=not _is_fixed(details),
            purpose=flag.purpose,
        )


def _by_key(own: tuple[Flag, ...]) -> dict[str, Flag]:
    return {flag.key: flag for flag in (*SHARED, *own)}


def _is_fixed(details: FlagEvaluationDetails[bool]) -> bool:
    """It is the same for everybody until the flags change."""
    return details.error_code in _NOT_THERE if details.error_code else details.reason in _BY_NOTHING


def _choice(flag: Flag, details: FlagEvaluationDetails[bool]) -> Choice:
    return Choice(flag.key, details.value, details.variant or variant_of(details.value))


def _exit(unfit: Unfit) -> NoReturn:
    settings.exit_with_faults([f"CF_FLAGS: {fault}" for fault in unfit.faults])
