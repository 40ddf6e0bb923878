"""Scores as a terminal table, HTML and Markdown; nothing is computed here."""
