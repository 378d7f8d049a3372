"""The short way through the framework, for routes that need nothing of what it can do between a request and a function:
no parameters to convert, no dependencies to clean up, no forms, no kept responses.
"""

from typing import Any

from litestar import Request
from litestar.types import ASGIApp, Receive, Send


class Straight:
    """Middleware of a command's route, and its last one: it calls the function itself, and has its answer told.

    What is raised goes the way of all errors, and what the framework reads from the function for the documentation
    stays in force: it is called with the request, the texts of its path and `customers`.
    """

    def __init__(self, app: ASGIApp) -> None:
        pass

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        customers = scope["litestar_app"].dependencies["customers"].dependency()
        request = Request[Any, Any, Any](scope, receive, send)
        answer = await scope["route_handler"].fn(request=request, customers=customers, **scope["path_params"])
        await answer.tell(send)
