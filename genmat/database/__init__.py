"""Everything that knows MongoDB: documents, the store, migrations and the embedded server."""
