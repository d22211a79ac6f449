"""The quality report: read from the marts, as plain values, as a page."""
