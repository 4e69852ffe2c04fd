"""What the whole test session shares: the real servers that contract and integration tests run against."""

from tests.support.seaweedfs import s3_server

__all__ = ["s3_server"]
