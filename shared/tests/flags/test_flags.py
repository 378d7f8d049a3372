"""Flags out of a file: what they say, when they change, and what becomes of a broken file."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from customerflow_local.flag_file import FlagFile
from customerflow_shared import metrics
from customerflow_shared.flags import SHARED, Flag, Flags, Unfit
from customerflow_shared.flags.catalogue import EXACT_COUNTS, RELAY_PUBLISHING, VERIFY_EMAIL_AT_REGISTRATION
from customerflow_shared.flags.sources import SHIPPED
from customerflow_shared.metrics import Exposition
from opentelemetry.sdk.resources import Resource
from structlog.testing import capture_logs

from .conftest import Open

ANA = UUID("0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11")
FIT = '{"flags": {"exact-counts": {"state": "ENABLED", "variants": {"on": true, "off": false}, %s}}}'


async def soon(holds: Callable[[], bool], within: float = 2.0) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def test_without_a_setting_every_flag_is_what_the_programs_did_before_it_was_there(opened: Open) -> None:
    flags = opened()
    report = flags.report()
    assert {one.flag: one.value for one in report.flags} == {flag.key: flag.default for flag in SHARED}
    assert {one.reason for one in report.flags} == {"STATIC"}  # each is in the file that is shipped
    assert (report.source, report.in_force, report.unknown) == ("as shipped", True, [])
    assert all(flags.on(flag) is flag.default for flag in SHARED)


def test_what_a_file_does_not_mention_is_as_it_is_by_default(opened: Open, cf_flags: FlagFile) -> None:
    cf_flags.switch("exact-counts", "off")
    flags = opened(str(cf_flags.path))
    assert not flags.on(EXACT_COUNTS)
    assert flags.on(RELAY_PUBLISHING)
    standings = {one.flag: one for one in flags.report().flags}
    assert (standings["exact-counts"].variant, standings["exact-counts"].reason) == ("off", "STATIC")
    assert standings["relay-publishing"].error == "FLAG_NOT_FOUND"


async def test_a_change_takes_effect_within_two_seconds_while_it_is_watched(opened: Open, cf_flags: FlagFile) -> None:
    flags = opened(str(cf_flags.path))
    watching = asyncio.create_task(flags.watch())
    for variant in ("off", "on", "off"):
        cf_flags.switch("exact-counts", variant)
        await soon(lambda wanted=variant: flags.on(EXACT_COUNTS) is (wanted == "on"))  # type: ignore[misc]
    watching.cancel()


def test_a_percentage_of_customers_gets_what_is_new_and_keeps_it_when_it_becomes_more(
    opened: Open, cf_flags: FlagFile
) -> None:
    customers = [uuid4() for _ in range(2_000)]
    flags = opened(str(cf_flags.path))
    got: list[set[UUID]] = []
    for percent in (0, 20, 60, 100):
        cf_flags.roll_out("verify-email-at-registration", percent)
        flags.report()  # looks into the file
        got.append({one for one in customers if flags.on(VERIFY_EMAIL_AT_REGISTRATION, one)})
    assert [len(one) for one in got] == [0, pytest.approx(400, abs=90), pytest.approx(1200, abs=110), 2_000]
    assert got[1] <= got[2]


def test_the_report_tells_of_one_customer_what_that_customer_gets(opened: Open, cf_flags: FlagFile) -> None:
    cf_flags.target("verify-email-at-registration", {"if": [{"==": [{"var": "targetingKey"}, str(ANA)]}, "on", "off"]})
    flags = opened(str(cf_flags.path))

    def told(customer_id: UUID | None) -> tuple[bool, str, str, bool]:
        [one] = [one for one in flags.report(customer_id).flags if one.flag == "verify-email-at-registration"]
        return one.value, one.variant, one.reason, one.by_customer

    assert told(ANA) == (True, "on", "TARGETING_MATCH", True)
    assert told(uuid4()) == (False, "off", "TARGETING_MATCH", True)
    assert told(None) == (False, "off", "TARGETING_MATCH", True)
    assert flags.choose(VERIFY_EMAIL_AT_REGISTRATION, ANA) == ("verify-email-at-registration", True, "on")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "The file is not JSON"),
        ('{"flags": {', "The file is not JSON"),
        ("[]", "The file is not a JSON object"),
        ('{"flags": {}, "flags": {}}', "the same member twice"),
        ("{}", "`flags` is missing"),
        ('{"flags": {"exact-counts": true}}', "exact-counts: Expected `object`"),
        (
            '{"flags": {"exact-counts": {"state": "ON", "variants": {"on": true}}}}',
            "exact-counts: Invalid enum value 'ON'",
        ),
        (FIT % '"defaultVariant": "of"', "exact-counts: the default variant is none of its variants"),
        (FIT % '"default": "off"', "exact-counts: Object contains unknown field `default`"),
        (
            '{"flags": {"exact-counts": {"state": "ENABLED", "variants": {"on": "yes"}}}}',
            "each variant must be true or",
        ),
        ('{"flags": {"exact-counts": {"state": "ENABLED", "variants": {}}}}', "there are no variants"),
        (FIT % '"targeting": {"fractional": [["on", 1], ["of", 99999]]}', "divides into of, which is no variant"),
        (FIT % '"targeting": {"percentage": [1]}', "the targeting cannot be evaluated"),
        (FIT % '"targeting": {"if": [true, "maybe"]}', "maybe not in variants"),
        ("{" + " " * 1024 * 1024 + "}", "larger than"),
    ],
)
def test_a_broken_file_keeps_what_was_in_force_and_says_so(
    opened: Open, cf_flags: FlagFile, content: str, fault: str
) -> None:
    cf_flags.switch("exact-counts", "off")
    flags = opened(str(cf_flags.path))
    cf_flags.write(content)
    report = flags.report()
    assert not report.in_force
    assert fault in (report.fault or "")
    assert not flags.on(EXACT_COUNTS)
    assert next(one for one in report.flags if one.flag == "exact-counts").variant == "off"


async def test_a_broken_file_is_logged_once_and_forgotten_when_it_is_mended(opened: Open, cf_flags: FlagFile) -> None:
    cf_flags.switch("exact-counts", "off")
    flags = opened(str(cf_flags.path))
    watching = asyncio.create_task(flags.watch())
    with capture_logs() as logs:
        cf_flags.write("{")
        await asyncio.sleep(1)  # it is looked at several times
        assert not flags.on(EXACT_COUNTS)
        cf_flags.switch("exact-counts", "on")
        await soon(lambda: flags.on(EXACT_COUNTS))
    assert [(one["log_level"], one["event"]) for one in logs] == [
        ("error", "flags refused; those in force stay so"),
        ("info", "flags taken over"),
    ]
    assert logs[1]["changed"] == ["exact-counts"]
    assert flags.report().fault is None
    watching.cancel()


def test_a_file_that_is_gone_keeps_what_was_in_force(opened: Open, cf_flags: FlagFile) -> None:
    cf_flags.switch("exact-counts", "off")
    flags = opened(str(cf_flags.path))
    cf_flags.path.unlink()
    report = flags.report()
    assert (report.in_force, report.fault) == (False, "FileNotFoundError: the file cannot be read")
    assert not flags.on(EXACT_COUNTS)
    cf_flags.switch("exact-counts", "off")  # as it was
    assert flags.report().in_force


def test_at_the_start_every_fault_of_the_file_is_told(opened: Open, cf_flags: FlagFile, tmp_path: Path) -> None:
    cf_flags.write('{"flags": {"exact-counts": {"state": "ON", "variants": {}}, "change-stream": 1}}')
    with pytest.raises(Unfit) as caught:
        opened(str(cf_flags.path))
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["exact-counts", "change-stream"]
    with pytest.raises(Unfit, match="FileNotFoundError"):
        opened(str(tmp_path / "nowhere"))
    with pytest.raises(Unfit, match="IsADirectoryError"):
        opened(str(tmp_path))


def test_it_is_measured_what_is_on_and_whether_the_file_is_refused(opened: Open, cf_flags: FlagFile) -> None:
    exposition = Exposition(metrics.REGISTRY, Resource({}))

    def measured() -> dict[str, float]:
        lines = [line for line in exposition.text().decode().splitlines() if line.startswith("customerflow_flags_")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    cf_flags.switch("exact-counts", "off")
    cf_flags.roll_out("verify-email-at-registration", 10)
    flags = opened(str(cf_flags.path))
    told = measured()
    assert told["customerflow_flags_refused"] == 0
    assert told['customerflow_flags_on{feature_flag_key="exact-counts"}'] == 0
    assert told['customerflow_flags_on{feature_flag_key="relay-publishing"}'] == 1
    assert not any("verify-email-at-registration" in name for name in told)
    cf_flags.write("{")
    flags.report()
    assert measured()["customerflow_flags_refused"] == 1


def test_flags_that_no_program_has_are_told_but_those_of_commands_only_by_who_knows_commands(
    opened: Open, cf_flags: FlagFile
) -> None:
    cf_flags.switch("exact-count", "off")
    cf_flags.switch("command.RegisterCustmer", "off")
    assert opened(str(cf_flags.path)).report().unknown == ["exact-count"]
    own = Flag("command.RegisterCustomer", True, "")
    assert opened(str(cf_flags.path), own).report().unknown == ["exact-count", "command.RegisterCustmer"]


def test_a_disabled_flag_is_as_it_is_by_default(opened: Open, cf_flags: FlagFile) -> None:
    cf_flags.write(
        '{"flags": {"exact-counts": {"state": "DISABLED", "variants": {"on": true, "off": false}, '
        '"defaultVariant": "off"}}}'
    )
    flags = opened(str(cf_flags.path))
    assert flags.on(EXACT_COUNTS)
    [one] = [one for one in flags.report().flags if one.flag == "exact-counts"]
    assert one.reason == "DISABLED"


def test_a_variant_may_have_any_name(opened: Open, cf_flags: FlagFile) -> None:
    cf_flags.write(
        '{"flags": {"exact-counts": {"state": "ENABLED", "variants": {"full": true, "none": false}, '
        '"defaultVariant": "none"}}}'
    )
    assert opened(str(cf_flags.path)).choose(EXACT_COUNTS) == ("exact-counts", False, "none")


def test_what_one_program_is_told_is_nothing_to_another_in_the_same_process(opened: Open, cf_flags: FlagFile) -> None:
    cf_flags.switch("exact-counts", "off")
    one, other = opened(str(cf_flags.path)), opened()
    assert (one.on(EXACT_COUNTS), other.on(EXACT_COUNTS)) == (False, True)


def test_grpc_is_imported_for_a_server_only() -> None:
    code = (
        "import sys; from customerflow_shared.flags import Flags; Flags.open(''); "
        "sys.exit('grpc' in sys.modules and 'grpc is imported')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_program_does_not_start_with_an_unfit_file(capsys: pytest.CaptureFixture[str], cf_flags: FlagFile) -> None:
    cf_flags.write('{"flags": 7}')
    with pytest.raises(SystemExit) as caught:
        Flags.open_or_exit(str(cf_flags.path))
    assert caught.value.code == 2
    assert "CF_FLAGS: `flags` is missing, or no object." in capsys.readouterr().err


def test_docker_compose_begins_with_what_is_shipped() -> None:
    compose = Path(__file__).parents[3] / "deploy/flags/flags.json"
    assert compose.read_bytes() == SHIPPED.read_bytes()
