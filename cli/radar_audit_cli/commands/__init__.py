"""One module per command; `main` lists them, and each is loaded when it runs."""
