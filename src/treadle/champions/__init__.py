"""Champions: which bundle is in production, by an append-only ledger in git, and where its files are."""
