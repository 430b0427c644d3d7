"""What every customer did: events in Parquet, one profile per customer and behaviour, computed by DuckDB."""
