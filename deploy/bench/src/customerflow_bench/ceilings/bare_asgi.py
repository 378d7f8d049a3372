"""A constant answer from ASGI, served as the programs are (see `customerflow_shared.service.server`), without tracing:
`python -m customerflow_bench.ceilings.bare_asgi PORT BYTES`.
"""

import sys
from typing import Any

import uvicorn


def constant(size: int) -> Any:
    body = b"x" * size
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(size).encode())],
    }
    end = {"type": "http.response.body", "body": body}

    async def answer(scope: Any, _: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send(start)
            await send(end)

    return answer


if __name__ == "__main__":
    uvicorn.run(
        constant(int(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        loop="uvloop",
        http="httptools",
        server_header=False,
        proxy_headers=False,
    )
