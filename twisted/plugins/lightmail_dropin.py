"""Makes `twistd lightmail` known to Twisted's plugin search."""

from twisted.application.service import ServiceMaker

lightmail = ServiceMaker(
    "LightMail",
    "lightmail.tap",
    "A mail store server: IMAP4, POP3 and LMTP over S3 objects and MySQL rows",
    "lightmail",
)
