"""Writing of results in each of the forms that `-o` names."""
