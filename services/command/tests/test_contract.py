"""The contract is served to whoever asks, as documents and as a page that needs nothing from elsewhere."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from customerflow_command import api
from customerflow_command.publishing import cloud_events
from customerflow_contract import schemas
from customerflow_contract.events import ROUTING_KEYS
from customerflow_shared import service
from customerflow_shared.events import CustomerArchived
from litestar import Litestar
from litestar.testing import TestClient

from .test_publishing import recorded

FILES = Path(__file__).resolve().parents[3] / "shared" / "contract" / "files"
NAMES = sorted(schemas.documents())
PATHS = ["/contract", "/contract/asyncapi.json", *(f"/contract/schemas/{name}.json" for name in NAMES)]


class Links(HTMLParser):
    """What a page refers to, its anchors, and whether its elements are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(given["href"])
        elif {"src", "href"} & given.keys() or tag in ("script", "link", "iframe", "object"):
            self.loaded.append(tag)
        if "id" in given:
            self.anchors.add(given["id"])
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    dependencies = {"customers": None}  # which no route of the contract takes
    app = service.create("Test", "Test.", handlers=api.ROUTES, health=service.Health({}), dependencies=dependencies)
    with TestClient(app) as started:
        yield started


@pytest.mark.parametrize("path", PATHS)
def test_each_document_is_there_and_is_not_sent_again_to_who_has_it(client: TestClient[Litestar], path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    tag = answer.headers["etag"]
    for held in (tag, f'"other", W/{tag}', "*"):
        again = client.get(path, headers={"If-None-Match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).content == answer.content


def test_what_is_served_is_what_stands_in_the_repository(client: TestClient[Litestar]) -> None:
    for path in PATHS[1:]:
        file = FILES / path.removeprefix("/contract/")
        assert client.get(path).text.strip() == file.read_text(encoding="utf-8").strip()


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/contract", "text/html; charset=utf-8"),
        ("/contract/asyncapi.json", "application/json"),
        ("/contract/schemas/customer.erased.v1.json", "application/schema+json"),
    ],
)
def test_each_document_says_what_it_is(client: TestClient[Litestar], path: str, media_type: str) -> None:
    assert client.get(path).headers["content-type"] == media_type


@pytest.mark.parametrize(
    "path",
    [
        "/contract/schemas/customer.erased.v2.json",
        "/contract/schemas/customer.erased.v1",
        "/contract/schemas/..%2Fasyncapi.json",
        "/contract/other.json",
    ],
)
def test_what_is_not_there_is_the_usual_problem(client: TestClient[Litestar], path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "route-not-found")
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_loads_nothing_and_all_that_it_links_to_is_there(client: TestClient[Litestar]) -> None:
    answer = client.get("/contract")
    page = Links(answer.text)
    assert not page.open
    assert not page.loaded
    assert "url(" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert len(page.links) > 3 * len(ROUTING_KEYS)
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.anchors
        else:
            assert client.get(urljoin("/contract", link)).status_code == 200


@pytest.mark.parametrize("name", ROUTING_KEYS.values())
def test_the_page_tells_all_fields_of_each_event(client: TestClient[Litestar], name: str) -> None:
    section = client.get("/contract").text.split(f'<h2 id="{name}">')[1].split("<h2")[0]
    shown = re.findall(r"<tr><td><code>([^<]+)</code></td>", section)
    assert [field for field in shown if "." not in field] == list(schemas.documents()[name]["properties"])


def test_the_schema_that_a_message_names_is_served(client: TestClient[Litestar]) -> None:
    (message,) = cloud_events([recorded(CustomerArchived())], contract_url="http://testserver/contract")
    assert client.get(str(message.dataschema)).json() == schemas.documents()["customer.status_changed.v1"]
