"""A body that is no JSON object is refused before anything is decided."""

import codecs
import json

import httpx
import pytest
from blackbox.customers import MERGE_PATCH, Customer, Customers, a_customer
from blackbox.problems import problem

pytestmark = pytest.mark.usefixtures("nothing_changes")

LIMIT = 256 * 1024
GOOD = json.dumps(a_customer()).encode()

NOT_JSON = {
    "empty": b"",
    "blank": b" \r\n\t",
    "cut": GOOD[:-1],
    "twice": GOOD + GOOD,
    "trailing comma": b'{"type":"person","name":"A",}',
    "single quotes": b"{'type':'person','name':'A'}",
    "comment": b'{"type":"person",/* */"name":"A"}',
    "nothing": b"\x00",
    "nul inside": b'{"type":"person","name":"A\x00"}',
    "raw control character": b'{"type":"person","name":"A\nB"}',
    "byte order mark": codecs.BOM_UTF8 + GOOD,
    "utf-16": GOOD.decode().encode("utf-16"),
    "invalid utf-8": b'{"type":"person","name":"\xff\xfe"}',
    "overlong utf-8": b'{"type":"person","name":"\xc0\xaf"}',
    "surrogate in utf-8": b'{"type":"person","name":"\xed\xa0\x80"}',
    "cut utf-8": b'{"type":"person","name":"\xe2\x82"}',
    "bad escape": b'{"type":"person","name":"\\x41"}',
    "cut escape": b'{"type":"person","name":"\\u12"}',
    "NaN": b'{"type":"person","name":NaN}',
    "Infinity": b'{"type":"person","name":-Infinity}',
    "leading zero": b'{"type":"person","name":01}',
    "duplicate key": b'{"type":"person","name":"A","name":"B"}',
    "duplicate key, once escaped": b'{"type":"person","name":"A","n\\u0061me":"B"}',
    "duplicate key further inside": b'{"type":"person","name":{"a":1,"a":2}}',
    "array": b"[" + GOOD + b"]",
    "string": b'"person"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
    "deep array": b"[" * 3000 + b"]" * 3000,
    "endless array": b"[" * 100_000,
    "endless object": b'{"a":' * 40_000,
    "multipart": b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nA\r\n--x--',
}


@pytest.fixture(params=["POST", "PATCH"])
async def door(request: pytest.FixtureRequest, standing: Customer) -> tuple[str, str, dict[str, str]]:
    """The two routes that take a body: method, path and headers."""
    if request.param == "POST":
        return "POST", "/v1/customers", {"Content-Type": "application/json"}
    return "PATCH", standing.path, {"Content-Type": MERGE_PATCH, "If-Match": standing.etag}


Door = tuple[str, str, dict[str, str]]


async def push(customers: Customers, door: Door, content: object, **headers: str) -> httpx.Response:
    method, path, usual = door
    sent = {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await customers.command.request(method, path, content=content, headers=sent)  # type: ignore[arg-type]


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
async def test_what_is_not_one_json_object_is_refused(customers: Customers, door: Door, body: bytes) -> None:
    problem(await push(customers, door, body), 400, "malformed-json")


async def test_the_place_of_the_fault_is_told(customers: Customers, door: Door) -> None:
    told = problem(await push(customers, door, b'{"name": nonsense}'), 400, "malformed-json")
    assert "9" in told["detail"]


DEEP = {
    "array": b"[" * 3000 + b"]" * 3000,
    "object": b'{"a":' * 3000 + b"1" + b"}" * 3000,
}


@pytest.mark.parametrize("field", ["name", "email", "other"])
@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP.keys())
async def test_deep_nesting_is_refused_wherever_it_is(
    customers: Customers, door: Door, field: str, deep: bytes
) -> None:
    answer = await push(customers, door, b'{"type":"person","%b":%b}' % (field.encode(), deep))
    assert answer.status_code in (400, 422), answer.text
    problem(answer, answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1e400", b"1e999999999", b"0." + b"1" * 5000])
@pytest.mark.parametrize("field", ["name", "email", "other", "version"])
async def test_a_huge_number_is_refused_wherever_it_is(
    customers: Customers, door: Door, field: str, number: bytes
) -> None:
    answer = await push(customers, door, b'{"type":"person","%b":%b}' % (field.encode(), number))
    assert answer.status_code in (400, 422), answer.text
    problem(answer, answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-patch+json",
        "application/jsonx",
        "application",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        "*/*",
        "application/json, application/json",
        "\x01",
    ],
)
async def test_another_media_type_is_refused_and_the_right_one_named(
    customers: Customers, door: Door, content_type: str
) -> None:
    answer = await push(customers, door, GOOD, Content_Type=content_type)
    if content_type == "\x01":  # no header at all in HTTP: the server may refuse the whole request
        assert answer.status_code in (400, 415)
        return
    problem(answer, 415, "unsupported-media-type")
    named = answer.headers["Accept-Patch" if door[0] == "PATCH" else "Accept"]
    assert named == door[2]["Content-Type"]


async def test_each_route_takes_its_own_media_type_only(customers: Customers, door: Door) -> None:
    other = "application/json" if door[0] == "PATCH" else MERGE_PATCH
    problem(await push(customers, door, GOOD, Content_Type=other), 415, "unsupported-media-type")


async def test_no_content_type_at_all_is_refused(customers: Customers, door: Door) -> None:
    method, path, headers = door
    request = customers.command.build_request(
        method, path, content=GOOD, headers={name: value for name, value in headers.items() if name != "Content-Type"}
    )
    problem(await customers.command.send(request), 415, "unsupported-media-type")


async def test_a_body_that_says_it_is_too_large_is_refused(customers: Customers, door: Door) -> None:
    body = b'{"name":"%b"}' % (b"A" * LIMIT)
    problem(await push(customers, door, body), 413, "body-too-large")


async def test_a_body_that_grows_too_large_is_refused(customers: Customers, door: Door) -> None:
    async def chunks() -> object:
        yield b'{"name":"'
        for _ in range(65):
            yield b"A" * 4096
        yield b'"}'

    problem(await push(customers, door, chunks()), 413, "body-too-large")


async def test_a_large_body_within_the_limit_is_read(customers: Customers, door: Door) -> None:
    body = b'{"type":"person","name":"%b"}' % (b"A" * (LIMIT - 100))
    problem(await push(customers, door, body), 422, "invalid-fields")


async def test_a_compressed_body_is_not_mistaken_for_json(customers: Customers, door: Door) -> None:
    answer = await push(customers, door, codecs.encode(GOOD, "zlib"), Content_Encoding="gzip")
    assert answer.status_code in (400, 415), answer.text
    problem(answer, answer.status_code, answer.json()["code"])
