"""The audit policy: what owners ask of retention, alerts and capture, and what comes of it."""
