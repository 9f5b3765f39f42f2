"""The steps of the schema, each up and down on both databases."""
