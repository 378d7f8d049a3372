"""What every refusal must look like."""

import httpx

from blackbox.customers import Json


def problem(answer: httpx.Response, status: int, code: str) -> Json:
    """The problem document of a refusal, once its form is as RFC 9457 and the house want it."""
    assert answer.status_code == status, f"{answer.status_code} instead of {status}: {answer.text}"
    assert answer.headers["Content-Type"] == "application/problem+json"
    document: Json = answer.json()
    assert document["status"] == status
    assert document["code"] == code, document
    assert document["type"].endswith(f"/problems/{code}")
    assert document["title"]
    assert document["detail"]
    assert len(document["traceId"]) == 32
    assert "Traceback" not in answer.text
    return document


def field_codes(answer: httpx.Response) -> dict[str, str]:
    """Pointer and code of every field that is refused."""
    document = problem(answer, 422, "invalid-fields")
    assert all(error["detail"] for error in document["errors"])
    return {error["pointer"]: error["code"] for error in document["errors"]}
