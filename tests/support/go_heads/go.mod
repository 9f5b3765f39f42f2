module radar-audit/tests/go_heads

go 1.21
