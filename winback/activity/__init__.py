"""The columnar store: events in Parquet, one profile row per customer and behaviour."""
