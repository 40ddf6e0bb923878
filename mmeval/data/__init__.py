"""Source archive -> Store -> Batch: reading, splitting and checking data."""
