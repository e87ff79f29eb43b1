"""The page that a campaign owner keeps open: read-only, server-rendered, no request leaves the machine."""
