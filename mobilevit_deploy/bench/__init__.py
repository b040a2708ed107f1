"""Measurement: schedule, statistics, environment."""
