"""What `radar-audit doctor` looks at, between Radar's pod and the hub."""
