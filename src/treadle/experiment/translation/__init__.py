"""From SQL, as DuckDB and PostgreSQL mean it, to Polars."""
