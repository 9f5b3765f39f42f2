"""Radar's own notices: what each is, who hears of it, and where each comes from."""
