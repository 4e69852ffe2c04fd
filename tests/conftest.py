"""Fixtures that start real servers, shared by all tests of a session."""

from tests.support.seaweedfs import s3_server

__all__ = ["s3_server"]
