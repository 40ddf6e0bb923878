"""Source files: fetched so that nothing that has come is lost, and held against their published digest."""

from mmeval.fetch.digests import check_digest
from mmeval.fetch.fetching import fetch

__all__ = ["check_digest", "fetch"]
