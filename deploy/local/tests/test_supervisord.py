import os
import time

from customerflow_local.supervisord import SoundPoller


def test_a_pipe_that_only_reports_an_error_does_not_keep_the_supervisor_awake() -> None:
    poller = SoundPoller(None)
    reading, writing = os.pipe()
    try:
        poller.register_readable(writing)
        os.close(reading)
        assert poller.poll(0) == ([], [])
        started = time.monotonic()
        assert poller.poll(0.2) == ([], [])
        assert time.monotonic() - started >= 0.2
    finally:
        os.close(writing)
