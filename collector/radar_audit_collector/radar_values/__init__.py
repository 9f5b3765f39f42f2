"""Values for Radar's own chart that put the gateway into Radar's pod."""
