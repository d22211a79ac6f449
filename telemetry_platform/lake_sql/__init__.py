"""SQL over the lake with DuckDB: its tables as views that read no more files than asked for."""
