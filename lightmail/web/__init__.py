"""The HTTP listener: health, readiness and metrics; the admin API and pages join it."""
