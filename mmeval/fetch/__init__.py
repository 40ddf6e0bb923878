"""Downloads of source files: resumable, and compared with their published digests."""

from mmeval.fetch.digests import check_digest
from mmeval.fetch.fetching import fetch

__all__ = ["check_digest", "fetch"]
