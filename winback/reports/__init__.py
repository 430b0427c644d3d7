"""What a person reads: tables and charts, aggregates only."""
