"""The write path: from a request's bytes to a commit, up to the storage interface."""
