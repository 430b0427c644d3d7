"""Steps as Prefect sees them: what one unit of work is, how it retries, what it publishes."""
