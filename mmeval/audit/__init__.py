"""Store -> audit: leaks between splits, duplicates, and what else makes scores other than they should be."""

from mmeval.audit.audit import audit

__all__ = ["audit"]
