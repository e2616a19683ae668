"""The report of an export folder: what its results say, which file to ship, as a page or as Markdown.

Imports evaluation, benchmarking.

reading.py         the folder → findings.py's `Export`, results of other contents left out
recommendation.py  which file to ship, and why; chance.py: what guessing reaches
two_exports.py     two exports side by side
missing.py         sections without data, and how to get it
charts.py          figures; svg.py: in the page's colours
sections/          what each section of a page shows, as plain values; answers/, network/: groups of them
templates/         how the page looks: HTML by Jinja2, and page.css
page.py            the sections and the templates → one HTML file
markdown.py        for pull requests
"""
