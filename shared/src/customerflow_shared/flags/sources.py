"""Where flags come from: a file, in this process, or a flagd server whose flags are evaluated in this process too."""

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEventDetails
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
from openfeature.provider import AbstractProvider, Metadata

from customerflow_shared.flags.catalogue import Flag
from customerflow_shared.flags.file import LARGEST, Unfit, read, unknown

log = structlog.get_logger()

# they tell, with a stack trace and each time, of what is told here once
logging.getLogger("openfeature").setLevel(logging.CRITICAL)

SERVER = "flagd://"
SERVER_PORT = 8015
LOOK_EVERY = 0.25  # seconds
SERVER_WITHIN = 2.0  # seconds, at the start; after that, it is waited for beside the work
SHIPPED = resources.files("customerflow_shared.flags") / "shipped.json"


class Source(ABC):
    """What is in force, and whether it is what the source holds now."""

    provider: AbstractProvider
    name: str

    def __init__(self) -> None:
        self.taken_at: datetime | None = None
        self.fault: str | None = None
        """Why the flags in force are not those of the source; None if they are."""
        self.unknown: Sequence[str] = ()

    @abstractmethod
    async def watch(self) -> None:
        """For ever; OpenFeature's handlers are told of what changes."""

    @abstractmethod
    def look(self) -> None:
        """Take over what the source holds now."""

    def refuse(self, fault: str) -> None:
        if fault != self.fault:
            log.error("flags refused; those in force stay so", source=self.name, fault=fault)
        self.fault = fault

    def take(self, changed: Sequence[str]) -> None:
        told = {} if self.taken_at is None else {"changed": sorted(changed)}
        self.taken_at, self.fault = datetime.now(UTC), None
        log.info("flags taken over", source=self.name, **told)
        if self.unknown:
            log.warning("flags that no program has", source=self.name, flags=self.unknown)


class File(Source):
    """Read every `LOOK_EVERY` seconds; if it has become unfit, or is gone, what was in force stays so."""

    def __init__(self, path: Path | None, declared: Mapping[str, Flag]) -> None:
        """`path` None: the file that the programs are shipped with. Raises Unfit."""
        super().__init__()
        self.name = "as shipped" if path is None else f"file {path}"
        self._path = path or SHIPPED
        self._declared = declared
        self._seen: bytes | None = None
        self._looking = threading.Lock()
        self._core = FlagdCore()
        self.provider = FileProvider(self._core)
        self._take(self._content())

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        with self._looking:  # the watch, and whoever wants a report
            try:
                content, fault = self._content(), self.fault
                if content == self._seen and fault is None:
                    return
                changed = self._take(content)
            except Unfit as unfit:
                self.refuse(str(unfit))
                told = ProviderEventDetails(message=str(unfit), error_code=ErrorCode.PARSE_ERROR)
                self.provider.emit_provider_error(told)
                return
            if fault is not None:
                self.provider.emit_provider_ready(ProviderEventDetails())
            self.provider.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=changed))

    def _content(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(LARGEST + 1)
        except OSError as error:
            raise Unfit([f"{type(error).__name__}: the file cannot be read"]) from None

    def _take(self, content: bytes) -> list[str]:
        text = read(content, self._declared)
        changed = self._core.set_flags_and_get_changed_keys(text)
        self._seen, self.unknown = content, unknown(text, self._declared)
        self.take(changed)
        return changed


class FileProvider(AbstractProvider):
    """OpenFeature's side of a file. flagd's own provider needs gRPC also for files, reads those that are newer only,
    and takes flags of any type.
    """

    def __init__(self, core: FlagdCore) -> None:
        super().__init__()
        self._core = core

    def get_metadata(self) -> Metadata:
        return Metadata("flagd file")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._core.resolve_boolean_value(flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._core.resolve_string_value(flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._core.resolve_integer_value(flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._core.resolve_float_value(flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return self._core.resolve_object_value(flag_key, default_value, evaluation_context)


class Server(Source):
    """flagd's sync stream. A server that is away holds nobody up: what it has said last stays in force, and before it
    has said anything what holds by default.
    """

    def __init__(self, url: str) -> None:
        """Raises Unfit if that is no address."""
        super().__init__()
        self.name = url
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or SERVER_PORT
        except ValueError:
            host, port = None, 0
        if not host or parts.path or parts.query or parts.username:
            raise Unfit(["Expected flagd://host:port"])
        # gRPC is imported by who needs it
        from openfeature.contrib.provider.flagd import FlagdProvider
        from openfeature.contrib.provider.flagd.config import ResolverType

        self.fault = "it has not answered yet; what holds by default is in force"
        self.provider = FlagdProvider(
            resolver_type=ResolverType.IN_PROCESS,
            host=host,
            port=port,
            deadline_ms=round(SERVER_WITHIN * 1000),
            retry_backoff_ms=500,
            retry_backoff_max_ms=1000,
            retry_grace_period=1,  # seconds; its timer would hold up the way out
            sync_metadata_disabled=True,  # flagd has given the call up, and an empty answer ends the provider's thread
        )

    async def watch(self) -> None:
        await asyncio.Event().wait()  # the provider's own threads do

    def look(self) -> None:
        pass  # what it says comes by itself

    def answered(self, details: EventDetails) -> None:
        self.take(details.flags_changed or [])

    def lost(self, details: EventDetails) -> None:
        self.refuse(f"it does not answer: {details.message or 'no reason is told'}")
