"""What a file of integers keeps in float. Imports the modules beside it that make such a file.

units.py        operations that stay float together, by layer or (branches.py) between residual sums
kept.py         what stays float, and what each unit costs in integers
mixing.py       files of which some operations are float, from the two pure ones
trial.py        what such a file costs, and errs
sensitivity.py  each unit measured alone
gradation.py    files with more and more units in float
choice.py       the one that an int8-hybrid file gets
"""
