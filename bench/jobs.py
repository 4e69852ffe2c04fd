"""What keeps and administers mail, by the name its benchmark has, and the module whose `costs` measures its steps."""

from __future__ import annotations

JOBS = {
    "garbage": "bench.garbage",
    "verify": "bench.verifying",
    "journal": "bench.journalling",
    "recover": "bench.recovering",
    "undelete": "bench.undeleting",
    "epochs": "bench.epochs",
    "administer": "bench.administering",
}
