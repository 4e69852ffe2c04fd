"""LightMail: a mail store server. Bodies are compressed objects in S3, everything else rows in MySQL."""

__version__ = "0.1.0"
