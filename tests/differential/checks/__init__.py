"""Tests of the test itself."""
