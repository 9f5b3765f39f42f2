"""The gateway: a TLS relay between Radar and the API server that notices terminals."""
