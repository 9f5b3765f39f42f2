"""The pages on which an organization is set up: people, clusters, tokens, plan, sign-in."""
