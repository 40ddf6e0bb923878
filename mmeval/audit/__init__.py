"""Audit of a Store: duplicates and leaks between splits, label leakage, wrong languages, missing parts."""

from mmeval.audit.audit import audit

__all__ = ["audit"]
