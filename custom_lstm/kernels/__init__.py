"""Fast paths behind readable layers; one file for each backend's own API."""
