"""A program's HTTP interface behind another server or event loop, in an environment of its own:
`python serve.py SITE-PACKAGES command|query uvicorn|granian uvloop|asyncio`. Settings are the program's.
"""

import os
import site
import sys
from typing import Any

site.addsitedir(os.environ.setdefault("BENCH_SITE", sys.argv[1] if len(sys.argv) > 1 else ""))
os.environ.setdefault("BENCH_PROGRAM", sys.argv[2] if len(sys.argv) > 2 else "")


def built() -> Any:
    """What the program runs: uvicorn's server, with the application in it."""
    from customerflow_command import app as command
    from customerflow_query import app as query
    from customerflow_shared import service, settings, telemetry

    name = os.environ["BENCH_PROGRAM"]
    telemetry.configure(name, log_level="warning")
    if name == "command":
        config: Any = settings.load_or_exit(command.ApiSettings, os.environ)
        return service.server(*command.command_api(config), config)
    config = settings.load_or_exit(query.QuerySettings, os.environ)
    return service.server(*query.query_api(config), config)


def application() -> Any:
    return built().config.app


if __name__ == "__main__":
    server, loop = sys.argv[3:5]
    if server == "uvicorn":
        running = built()
        running.config.loop = loop
        running.run()
    else:
        from granian.constants import Interfaces, Loops
        from granian.server import Server

        sys.path.insert(0, os.path.dirname(__file__))
        Server(
            "serve:application",
            factory=True,
            address="127.0.0.1",
            port=int(os.environ["CF_PORT"]),
            interface=Interfaces.ASGI,
            loop=Loops(loop),
            workers=1,
            log_access=False,
        ).serve()
