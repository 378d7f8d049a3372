"""Lists and searches of customers: what is asked for, how it is found at a bounded cost, and where a page goes on.

`asking` reads a question and is pure; `sources` give candidates in order; `conditions` test them; `pages` chooses the
cheapest source and fills a page from it; `cursors` remember where it ended.
"""

from customerflow_query.listing.asking import Question, question
from customerflow_query.listing.cursors import Cursors
from customerflow_query.listing.pages import Lists, Page, Total
from customerflow_query.listing.sources import Place

__all__ = ["Cursors", "Lists", "Page", "Place", "Question", "Total", "question"]
