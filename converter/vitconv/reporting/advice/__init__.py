"""Which file to ship, and why: what the findings say together. Imports findings.py beside it."""
