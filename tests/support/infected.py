"""Messages in which the tests' scanner finds something, each in a way of its own, and one in which it finds nothing."""

from __future__ import annotations

import io
import zipfile
from email.message import EmailMessage
from email.policy import SMTP

from tests.support.clamd import EICAR, EICAR_NAME, MARKED, MARKED_NAME


def letter(subject: str = "hello", text: str = "body", attachment: bytes | None = None, name: str = "a.bin") -> bytes:
    """A message as LMTP brings it, with a Message-ID; an attachment is in base64."""
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"] = "Sender <sender@example.com>"
    message["To"] = "Ann <ann@example.org>"
    message["Subject"] = subject
    message["Message-ID"] = f"<{subject}@example.com>"
    message.set_content(text)
    if attachment is not None:
        message.add_attachment(attachment, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def zipped(octets: bytes) -> bytes:
    """An archive with one file in it, compressed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("invoice.com", octets)
    return archive.getvalue()


# By the way it is carried: the message, and what is found in it.
INFECTED = {
    "text": (letter("text", MARKED.decode()), MARKED_NAME),
    "attachment": (letter("attachment", attachment=EICAR), EICAR_NAME),
    "zip": (letter("zip", attachment=zipped(EICAR), name="invoice.zip"), EICAR_NAME),
    "zip-in-zip": (letter("zip-in-zip", attachment=zipped(zipped(MARKED))), MARKED_NAME),
}
CLEAN = letter("clean")
MARKED_LETTER, _ = INFECTED["text"]
