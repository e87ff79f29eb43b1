"""From workflows in the database to processes that do them: stages, queue jobs, workers, retries."""
