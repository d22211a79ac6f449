"""Tests of the quality report, and reports to test with."""
