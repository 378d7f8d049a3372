"""What an operator switches while the command service and the relay run: one file of flags, real processes."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from customerflow_command.mediator import SWITCHES
from customerflow_local.flag_file import FlagFile
from customerflow_local.testing import Database
from customerflow_shared import events
from customerflow_shared.events import CustomerEmailVerificationRequested, CustomerRegistered, Recorded
from customerflow_shared.flags import COMMAND_PREFIX, Flags

from .test_programs import ENVIRONMENT, Program

TOKEN = "0123456789-operator"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
FEED = {"Authorization": f"Bearer {ENVIRONMENT['CF_FEED_TOKEN']}"}
MERGE = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
EFFECT = 2.0  # seconds

Begin = Callable[..., Program]


@pytest.fixture
def begin(cf_database: Database, cf_flags: FlagFile) -> Iterator[Begin]:
    started: list[Program] = []

    def beginning(*arguments: str, **changes: str) -> Program:
        environment = {
            "CF_MYSQL_URL": cf_database.url,
            "CF_MYSQL_OWNER_URL": cf_database.owner_url,
            "CF_FLAGS": str(cf_flags.path),
            "CF_OPERATOR_TOKEN": TOKEN,
        }
        started.append(Program(*arguments, **environment | changes))
        return started[-1]

    yield beginning
    for program in started:
        program.process.kill()
        program.process.communicate()


@pytest.fixture
def api(begin: Begin) -> Iterator[httpx.Client]:
    program = begin("api", CF_UPKEEP_EVERY="0.2")
    program.wait_for("/health/ready")
    with httpx.Client(base_url=program.url, timeout=10) as client:
        yield client


def person(**fields: Any) -> dict[str, Any]:
    return {"type": "person", "name": "Ana", **fields}


def reached() -> dict[str, Any]:
    return person(email=f"{uuid4()}@example.com")


def registered(api: httpx.Client) -> str:
    answer = api.post("/v1/customers", json=person())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def recorded(api: httpx.Client) -> list[Recorded]:
    lines = api.get("/internal/events", headers=FEED).text.splitlines()
    return [one for line in lines if isinstance(one := events.decode(line.encode()), Recorded)]


def soon(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + EFFECT
    while not holds():
        assert time.monotonic() < end, "it takes too long to take effect"
        time.sleep(0.02)


def test_a_type_of_command_is_refused_while_it_is_switched_off_but_who_has_sent_it_before_is_answered(
    api: httpx.Client, cf_flags: FlagFile
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first = api.post("/v1/customers", json=person(name="Bia"), headers=key)
    cf_flags.switch("command.RegisterCustomer", "off")
    soon(lambda: api.post("/v1/customers", json=person()).status_code == 503)

    before = recorded(api)
    refused = api.post("/v1/customers", json=person())
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "switched-off", "30")
    refused = api.post("/v1/customers", json=person(), headers={"Idempotency-Key": str(uuid4())})
    assert (refused.status_code, refused.json()["code"]) == (503, "switched-off")
    replayed = api.post("/v1/customers", json=person(name="Bia"), headers=key)
    assert (replayed.status_code, replayed.json()) == (201, first.json())
    assert replayed.headers["idempotency-replayed"] == "true"
    changed = api.patch(f"/v1/customers/{first.json()['id']}", json={"name": "Bea"}, headers=MERGE)
    assert changed.status_code == 200
    assert api.get("/health/ready").status_code == 200
    assert len(recorded(api)) == len(before) + 1

    cf_flags.switch("command.RegisterCustomer", "on")
    soon(lambda: api.post("/v1/customers", json=person()).status_code == 201)


def test_a_type_of_command_can_be_refused_for_one_customer(api: httpx.Client, cf_flags: FlagFile) -> None:
    one, other = registered(api), registered(api)

    def tagged(customer_id: str) -> int:
        return api.put(f"/v1/customers/{customer_id}/tags/vip").status_code

    cf_flags.target("command.TagCustomer", {"if": [{"==": [{"var": "targetingKey"}, one]}, "off", "on"]})
    soon(lambda: tagged(one) == 503)
    assert tagged(other) == 204


def test_what_is_due_waits_while_that_is_switched_off(api: httpx.Client, cf_flags: FlagFile) -> None:
    customer_id = registered(api)

    def suspended() -> bool:
        return not any(
            events.event_name(type(one.event)) == "CustomerReactivated"
            for one in recorded(api)
            if str(one.customer_id) == customer_id
        )

    cf_flags.switch("command.DoWhatIsDue", "off")
    time.sleep(1)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    answer = api.post(
        f"/v1/customers/{customer_id}/suspend", json={"reason": "check", "until": until}, headers={"If-Match": "*"}
    )
    assert answer.status_code == 200, answer.text
    time.sleep(3)
    assert suspended()
    cf_flags.switch("command.DoWhatIsDue", "on")
    soon(lambda: not suspended())


def test_some_customers_are_asked_to_verify_their_address_at_once_and_their_events_say_so(
    api: httpx.Client, cf_flags: FlagFile
) -> None:
    cf_flags.roll_out("verify-email-at-registration", 50)
    soon(lambda: bool(api.get("/internal/flags", headers=OPERATOR).json()["flags"][0].get("byCustomer")))
    time.sleep(0.2)
    versions = {
        answer["id"]: answer["version"]
        for answer in (api.post("/v1/customers", json=reached()).json() for _ in range(40))
    }
    unreached = [registered(api) for _ in range(20)]
    by_customer: dict[str, list[Recorded]] = {}
    for one in recorded(api):
        by_customer.setdefault(str(one.customer_id), []).append(one)

    assert set(versions.values()) == {1, 2}
    for customer_id, version in versions.items():
        first, *further = by_customer[customer_id]
        variant = "on" if version == 2 else "off"
        assert first.metadata.flags == {"verify-email-at-registration": variant}
        assert [type(one.event) for one in further] == [CustomerEmailVerificationRequested] * (version - 1)
        assert all(one.metadata == first.metadata for one in further)
        told = api.get("/internal/flags", params={"customer": customer_id}, headers=OPERATOR).json()
        assert next(one for one in told["flags"] if one["flag"] == "verify-email-at-registration")["variant"] == variant
    assert {len(by_customer[customer_id]) for customer_id in unreached} == {1}  # there is no address to verify
    assert {by_customer[one][0].metadata.flags["verify-email-at-registration"] for one in unreached} == {"on", "off"}


async def test_flags_that_change_under_load_take_effect_and_disturb_nobody(begin: Begin, cf_flags: FlagFile) -> None:
    program = begin("api")
    program.wait_for("/health/ready")
    answers: Counter[str] = Counter()
    versions: dict[str, int] = {}
    registering, tagging = [0], [204]  # what was seen last
    customers = [uuid4()]
    going = True

    async def seen(what: list[int], wanted: int) -> None:
        began = time.monotonic()
        while what[0] != wanted:
            assert time.monotonic() - began < EFFECT
            await asyncio.sleep(0.01)

    async with httpx.AsyncClient(base_url=program.url, timeout=10) as client:
        first = await client.post("/v1/customers", json=person())
        customers = [first.json()["id"]]

        async def register() -> None:
            while going:
                answer = await client.post("/v1/customers", json=reached())
                answers[f"register {answer.status_code}"] += 1
                if answer.status_code == 201:
                    versions[answer.json()["id"]] = registering[0] = answer.json()["version"]
                await asyncio.sleep(random.uniform(0, 0.05))

        async def tag() -> None:
            while going:
                answer = await client.put(f"/v1/customers/{customers[0]}/tags/t-{random.randrange(1000)}")
                code = answer.json()["code"] if answer.status_code >= 400 else ""
                answers[f"tag {answer.status_code} {code}".strip()] += 1
                tagging[0] = answer.status_code
                await asyncio.sleep(random.uniform(0, 0.05))

        load = [asyncio.create_task(work()) for work in (register,) * 4 + (tag,) * 2]
        for variant, version, status in (("on", 2, 503), ("off", 1, 204)) * 3:
            cf_flags.switch("verify-email-at-registration", variant)
            cf_flags.switch("command.TagCustomer", "off" if variant == "on" else "on")
            await asyncio.gather(seen(registering, version), seen(tagging, status))
        going = False
        await asyncio.gather(*load)
        feed = (await client.get("/internal/events", headers=FEED)).text.splitlines()

    assert set(answers) == {"register 201", "tag 204", "tag 503 switched-off"}
    told = [one for line in feed if isinstance(one := events.decode(line.encode()), Recorded)]
    first_of = {str(one.customer_id): one for one in told if isinstance(one.event, CustomerRegistered)}
    for customer_id, version in versions.items():
        variant = "on" if version == 2 else "off"
        assert first_of[customer_id].metadata.flags == {"verify-email-at-registration": variant}
    assert len(versions) > 50


def test_an_operator_sees_every_flag_and_whether_the_file_is_in_force(api: httpx.Client, cf_flags: FlagFile) -> None:
    assert api.get("/internal/flags").status_code == 401
    refused = api.get("/internal/flags", params={"customer": "ana"}, headers=OPERATOR)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid-id")
    assert api.get("/internal/flags?customr=1", headers=OPERATOR).json()["code"] == "unknown-parameter"

    cf_flags.switch("command.TagCustomer", "off")
    cf_flags.switch("command.TagCustomr", "off")
    told = api.get("/internal/flags", headers=OPERATOR).json()  # looks into the file
    standings = {one["flag"]: one for one in told["flags"]}
    assert (told["inForce"], told["unknown"]) == (True, ["command.TagCustomr"])
    assert (standings["command.TagCustomer"]["variant"], standings["command.TagCustomer"]["reason"]) == (
        "off",
        "STATIC",
    )
    assert standings["exact-counts"]["value"] is True

    cf_flags.write('{"flags": {"command.TagCustomer": {"state": "ENABLED", "variants": {"on": 1}}}}')
    told = api.get("/internal/flags", headers=OPERATOR).json()
    assert (told["inForce"], told["fault"]) == (False, "command.TagCustomer: each variant must be true or false")
    assert {one["flag"]: one["variant"] for one in told["flags"]}["command.TagCustomer"] == "off"
    assert api.get("/health/ready").status_code == 200


def test_the_command_line_shows_every_flag(api: httpx.Client, begin: Begin, cf_flags: FlagFile) -> None:
    port = str(api.base_url.port)
    cf_flags.switch("command.TagCustomer", "off")
    customer_id = registered(api)
    code, output = begin("flags", "--customer", customer_id, "--json", CF_PORT=port).end()
    assert code == 0, output
    told = json.loads(output)
    assert (told["customer"], told["inForce"]) == (customer_id, True)
    assert {one["flag"]: one["variant"] for one in told["flags"]}["command.TagCustomer"] == "off"
    code, output = begin("flags", CF_PORT=port).end()
    assert code == 0
    assert "command.TagCustomer" in output

    cf_flags.write("{")
    code, output = begin("flags", CF_PORT=port).end()
    assert code == 1
    assert "not the flags that the source holds now: The file is not JSON" in output.replace("\n", " ")
    code, output = begin("flags", CF_PORT=port, CF_OPERATOR_TOKEN="another-token-0123456789").end()
    assert (code, "401" in output) == (1, True)
    code, output = begin("flags", CF_PORT="1").end()
    assert (code, "does not answer" in output) == (1, True)
    cf_flags.switch("command.TagCustomer", "off")
    code, output = begin("flags", "--here", "--json").end()
    assert (code, json.loads(output)["source"]) == (0, f"file {cf_flags.path}")


def test_the_file_that_is_shipped_has_every_type_of_command() -> None:
    flags = Flags.open("", *SWITCHES.values())
    report = flags.report()
    flags.close()
    assert {(one.variant, one.reason) for one in report.flags if one.flag.startswith(COMMAND_PREFIX)} == {
        ("on", "STATIC")
    }
    assert report.unknown == []


@pytest.mark.parametrize("arguments", [["api"], ["relay"], ["flags", "--here"]])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "CF_FLAGS: FileNotFoundError: the file cannot be read"),
        ('{"flags": {"exact-counts": {"state": "ON"}}}', "CF_FLAGS: exact-counts: Invalid enum value 'ON'"),
    ],
)
def test_no_program_starts_with_flags_that_it_cannot_read(
    begin: Begin, cf_flags: FlagFile, arguments: list[str], content: str | None, told: str
) -> None:
    if content is None:
        cf_flags.path.unlink()
    else:
        cf_flags.write(content)
    code, output = begin(*arguments).end()
    assert code == 2
    assert told in output
    assert "Traceback" not in output


def test_a_relay_that_is_paused_is_ready_and_says_that_it_is_paused(
    begin: Begin, cf_flags: FlagFile, cf_amqp_url: str
) -> None:
    relay = begin("relay", CF_AMQP_URL=cf_amqp_url)
    assert "paused" not in relay.wait_for("/health/ready").json()
    cf_flags.switch("relay-publishing", "off")
    soon(lambda: relay.get("/health/ready").json().get("paused") == ["relay-publishing"])
    assert relay.get("/health/ready").status_code == 200
    told = httpx.get(relay.url + "/internal/flags", headers=OPERATOR).json()
    assert {one["flag"]: one["value"] for one in told["flags"]}["relay-publishing"] is False
