"""Results for others: the Hugging Face Hub, static sites, and formats of other tools."""
