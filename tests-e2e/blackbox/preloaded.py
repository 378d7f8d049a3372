"""Run as a program: forks command APIs, each of which is the program itself with its imports done beforehand.

So one that is to be killed is there in a moment. Every line of the input is the environment of one, as JSON; the pid is
answered. With the end of the input all of them end.
"""

import json
import os
import signal
import sys
from importlib import import_module


def main() -> None:
    api = import_module("customerflow_command.__main__").main
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    children = []
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.environ.update(json.loads(line))
            os.dup2(2, 1)
            api(["api"])
        children.append(pid)
        print(pid, flush=True)
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
