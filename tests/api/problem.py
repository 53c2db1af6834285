"""What every error reply of the service looks like."""

import httpx


def assert_problem(reply: httpx.Response, status: int, slug: str) -> dict[str, object]:
    """The reply is an RFC 9457 problem of that kind, with the headers of its status; returns its body."""
    body: dict[str, object] = reply.json()
    assert reply.status_code == status, body
    assert reply.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:footfall:problem:{slug}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["instance"]
    if status in (429, 503):
        assert int(reply.headers["retry-after"]) >= 1
    if status == 401:
        assert reply.headers["www-authenticate"].startswith("Bearer")
    return body
