"""Store -> audit: leaks between splits, duplicates, and what else makes scores other than they should be."""

from mmeval.audit.make import audit

__all__ = ["audit"]
