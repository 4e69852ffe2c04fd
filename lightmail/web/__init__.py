"""HTTP: the API, health, readiness and metrics; the admin pages join it."""
