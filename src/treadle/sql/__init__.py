"""SQL expressions: parsed and checked before there is data, and translated to Polars."""
