"""Every way in which the query service can be asked about a customer by what is personal, and refuse to answer."""

from blackbox.customers import Json
from blackbox.questions import LIST, LOOKUP, SEARCH
from blackbox.subject import Subject


async def be_asked_about(subject: Subject) -> None:
    """Found by everything that it has."""
    document = await subject.customers.read(subject.customer)
    words = document["name"].split()
    found = await _answer(subject, "POST", SEARCH, {"q": max(words, key=len), "sort": "relevance"})
    assert subject.id in {one["id"] for one in found["data"]}
    held: list[Json] = [{name: document[name]} for name in ("email", "phone") if name in document]
    held += [{"taxId": {name: one[name] for name in ("type", "value")}} for one in document.get("taxIds", [])]
    held += [{"externalId": {name: one[name] for name in ("source", "value")}} for one in document["externalIds"]]
    for body in held:
        found = await _answer(subject, "POST", LOOKUP, body)
        assert subject.id in {one["id"] for one in found["data"]}, body
    for to in ("/timeline?limit=200", "/history?field=name", f"/diff?from=1&to={subject.version}", "?atVersion=1"):
        await _answer(subject, "GET", subject.path + to)


async def be_asked_in_vain(subject: Subject) -> None:
    """Refused, with a token wherever something can be said."""
    new = subject.new
    for name in ("sort", "limit", "cursor", "count", "fields", "tag", "country", "hasConsent", "createdAt[gte]"):
        await _refusal(subject, "GET", f"{LIST}?{name}={new.email()}")
    searches: list[Json] = [
        {"q": new.text() + "\0"},
        {"q": new.text(), "sort": new.word()},
        {"q": new.text(), "cursor": new.word()},
        {"q": new.text(), "name": new.text()},
        {"tag": [new.email()], "locale": new.text(), "createdAt": {"gte": new.day()}},
    ]
    lookups: list[Json] = [
        {"email": new.email() + "@"},
        {"phone": new.phone() + "x"},
        {"taxId": {"type": "br_cnpj", "value": new.cpf()}},
        {"externalId": {"source": new.email(), "value": new.text()}},
        {"email": new.email(), "phone": new.phone()},
    ]
    for path, bodies in ((SEARCH, searches), (LOOKUP, lookups)):
        for body in bodies:
            await _refusal(subject, "POST", path, body)
    for to in (
        f"/timeline?type={new.word()}",
        f"/timeline?cursor={new.word()}",
        f"/history?field={new.email()}",
        f"/diff?from={new.word()}&to=1",
        f"?asOf={new.day()}",
        f"?fields={new.word()}",
        f"?{new.word()}=1",
        f"/{new.word()}",
    ):
        await _refusal(subject, "GET", subject.path + to)
    await _refusal(subject, "GET", f"/v1/changes?type={new.word()}")
    await _refusal(subject, "GET", f"/v1/stats/customers?{new.word()}=1")


async def _answer(subject: Subject, method: str, path: str, body: Json | None = None) -> Json:
    answer = await subject.customers.query.request(method, path, json=body)
    assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
    told: Json = answer.json()
    return told


async def _refusal(subject: Subject, method: str, path: str, body: Json | None = None) -> None:
    answer = await subject.customers.query.request(method, path, json=body)
    assert 400 <= answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text}"
    subject.driven.unanswered.append(answer.content)
