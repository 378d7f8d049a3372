"""Problem details (RFC 9457): one table of codes, and how a problem becomes an answer."""

from customerflow_shared.problems.answers import Translation, bug, exception_handlers
from customerflow_shared.problems.documentation import ProblemDocument, describe_problem, example, responses
from customerflow_shared.problems.problem import MEDIA_TYPE, Fault, Problem, instance

__all__ = [
    "MEDIA_TYPE",
    "Fault",
    "Problem",
    "ProblemDocument",
    "Translation",
    "bug",
    "describe_problem",
    "example",
    "exception_handlers",
    "instance",
    "responses",
]
