"""The HTTP listener: health, readiness and metrics; the admin API and pages join it."""

from lightmail.web.server import Readiness, make_site

__all__ = ["Readiness", "make_site"]
