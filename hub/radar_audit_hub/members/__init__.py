"""Who belongs to an organization, and as what."""
