"""The record that all parts of Radar Audit speak. Pure: no I/O, no clock, no environment."""
