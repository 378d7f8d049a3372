"""supervisord with one of its faults mended (4.3): it polls in vain for a pipe that can only report an error.

When a process dies, the number of its output pipe may be given to the input pipe of the next one while supervisord
still polls that number for output. Once the reader of the input pipe has closed it, poll answers at once, for ever,
with an error that supervisord does not look at.
"""

import select

from supervisor import poller, supervisord


class SoundPoller(poller.PollPoller):  # type: ignore[misc]  # supervisor is not typed
    """Takes a descriptor off the list if nothing but an error can be had from it."""

    def _ignore_invalid(self, fd: int, events: int) -> bool:
        return bool(super()._ignore_invalid(fd, select.POLLNVAL if events == select.POLLERR else events))


if __name__ == "__main__":
    poller.Poller = SoundPoller
    supervisord.main()
