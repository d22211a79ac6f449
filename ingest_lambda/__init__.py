"""The edge: takes events over HTTP and CSV files, and answers once they are durable."""
