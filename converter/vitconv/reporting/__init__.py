"""The report of an export folder: what its results say, which file to ship, as a page or as Markdown.

Imports evaluation.

reading.py         the folder → findings.py's `Export`, results of other contents left out
recommendation.py  which file to ship, and why
two_exports.py     two exports side by side
charts.py          figures as SVG in the page's colours
page.py, parts.py  the HTML page; sections.py, details.py its sections
markdown.py        for pull requests
"""
