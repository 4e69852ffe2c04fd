"""Debian's Dovecot in a directory of its own on loopback: the yardstick."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from pathlib import Path

_CONFIGURATION = """\
base_dir = {home}/run
state_dir = {home}/state
instance_name = bench
protocols = imap pop3 lmtp
listen = 127.0.0.1
log_path = {home}/dovecot.log
disable_plaintext_auth = no
ssl = no
auth_mechanisms = plain login
auth_failure_delay = 0
auth_username_format = %Ln
default_process_limit = 3000
default_client_limit = 20000
default_vsz_limit = 2048M
mail_max_userip_connections = 10000
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
mail_home = {home}/mail/%n
mail_location = sdbox:~/sdbox
mail_fsync = optimized
mailbox_list_index = yes
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}/mail/%n allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  service_count = 0
  process_min_avail = 1
  client_limit = 5000
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  service_count = 0
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
  process_min_avail = 1
}}
"""


class Dovecot:
    """A running Dovecot; any user name with the given password logs in. Needs root, as Dovecot itself does."""

    def __init__(self, home: Path, password: str, *, imap: int, pop3: int, lmtp: int) -> None:
        owner = pwd.getpwnam("nobody")
        for part in ("run", "state", "mail"):
            (home / part).mkdir(parents=True)
        os.chmod(home, 0o755)
        os.chown(home / "mail", owner.pw_uid, owner.pw_gid)
        self._home = home
        self._config = home / "dovecot.conf"
        self._config.write_text(
            _CONFIGURATION.format(
                home=home, uid=owner.pw_uid, gid=owner.pw_gid, password=password, imap=imap, pop3=pop3, lmtp=lmtp
            )
        )
        self._process = self._launch()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _launch(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["dovecot", "-F", "-c", str(self._config)], start_new_session=True)

    def restart(self, *, forget: bool) -> None:
        """Stop it and start it again; `forget` removes its caches of header fields, as if nobody had asked for any."""
        self.stop()
        if forget:
            for cache in (self._home / "mail").rglob("dovecot.index.cache"):
                cache.unlink()
        self._process = self._launch()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
