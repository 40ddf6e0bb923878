"""Reading what other people wrote: tables and archives, strictly, with the row in every complaint."""
