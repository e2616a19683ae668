"""A data set's name → splits of prepared pictures and their labels. Imports foundation."""
