"""What the whole test session shares: the real servers that contract and integration tests run against."""

from tests.support.clamd import clamd
from tests.support.seaweedfs import s3_server

__all__ = ["clamd", "s3_server"]
