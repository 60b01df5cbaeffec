"""Choosing cubes to annotate: indicators, rules, survey tables, their pages."""
