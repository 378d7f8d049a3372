"""Feature flags: what can be switched while the programs run, by a file in flagd's format or by a flagd server.

`catalogue` says which there are, `file` reads and checks a file of them, `sources` watch it, `evaluation` is what the
programs ask, and `operations` is where an operator sees what they are told.
"""

from customerflow_shared.flags.catalogue import COMMAND_PREFIX, SHARED, Flag
from customerflow_shared.flags.evaluation import Choice, Flags, Report
from customerflow_shared.flags.file import Unfit
from customerflow_shared.flags.operations import routers

__all__ = ["COMMAND_PREFIX", "SHARED", "Choice", "Flag", "Flags", "Report", "Unfit", "routers"]
