"""Scores -> what people look at: terminal table, HTML, Markdown. Views only, nothing is computed here."""
