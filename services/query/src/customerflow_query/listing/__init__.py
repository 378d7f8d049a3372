"""Lists and searches of customers: what is asked for, how it is found at a bounded cost, and where a page goes on.

`asking` reads a question and is pure; `conditions` make of it sources of candidates in order, and tests; `script` is
what Redis does with them, `walking` how it is asked; `pages` are made of those that pass; `cursors` remember where one
ended.
"""

from customerflow_query.listing.asking import Question, question
from customerflow_query.listing.cursors import Cursors
from customerflow_query.listing.pages import Lists, Page, Total
from customerflow_query.listing.sources import Place

__all__ = ["Cursors", "Lists", "Page", "Place", "Question", "Total", "question"]
