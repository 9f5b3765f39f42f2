module radar-audit/tests/go_peers

go 1.25
