"""Questions to the query service that are answered."""

import re
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from blackbox.customers import Customers, Json

LIST: Final = "/v1/customers"
SEARCH: Final = "/v1/customers/search"
LOOKUP: Final = "/v1/customers/lookup"
STATISTICS: Final = "/v1/stats/customers"


def position_of(answer: httpx.Response) -> int:
    """That of a command's last event, or up to which an answer shows everything."""
    return int(answer.headers["CustomerFlow-Position"])


async def ask(customers: Customers, path: str, body: Any = None, **parameters: Any) -> httpx.Response:
    headers = {"Prefer": "wait=5"}
    if body is None:
        answer = await customers.query.get(path, params=parameters, headers=headers)
    else:
        answer = await customers.query.post(path, json=body, params=parameters, headers=headers)
    assert answer.status_code == 200, f"{path} {parameters} {body}: {answer.status_code} {answer.text}"
    return answer


async def pages(customers: Customers, limit: int, **parameters: Any) -> list[Json]:
    """All documents of a list, from page to page by its links."""
    found: list[Json] = []
    answer = await ask(customers, LIST, limit=limit, **parameters)
    while True:
        told = answer.json()
        assert len(told["data"]) <= limit
        found += told["data"]
        to = {rel: address for address, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', answer.headers["Link"])}
        assert ("next" in told) == ("next" in to)
        if "next" not in to:
            return found
        assert parse_qs(urlsplit(to["next"]).query)["cursor"] == [told["next"]]
        answer = await customers.query.get(to["next"])
        assert answer.status_code == 200, answer.text
