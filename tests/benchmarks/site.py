"""The servers of a measurement: nginx for bytes, a process of our own for lists and uploads."""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """
daemon off;
pid {run}/nginx.pid;
error_log stderr error;
worker_processes auto;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 10000000;
  client_body_temp_path {run}/body; proxy_temp_path {run}/proxy;
  fastcgi_temp_path {run}/fastcgi; uwsgi_temp_path {run}/uwsgi; scgi_temp_path {run}/scgi;
  client_max_body_size 100m;
  upstream lists {{ server 127.0.0.1:{lists}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    default_type application/pdf;
    location ~ "^/archivist/(v1/blobs|v2/attachments/.+)/(?<blob>[0-9a-f-]{{36}})/info$" {{
      default_type application/json; alias {corpus}/info/$blob.json;
    }}
    location ~ "^/archivist/(v1/blobs|v2/attachments/.+)/(?<blob>[0-9a-f-]{{36}})$" {{ alias {corpus}/blobs/$blob; }}
    location /blobs/ {{ alias {corpus}/blobs/; autoindex on; }}
    location = /requests {{ stub_status; }}
    location / {{
      proxy_pass http://lists; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_buffer_size 64k; proxy_buffers 64 64k;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Running servers, and the corpus that they serve."""

    port: int
    corpus: Path

    @property
    def url(self) -> str:
        """The base of all of it."""
        return f"http://127.0.0.1:{self.port}"

    def requests(self) -> int:
        """How many requests have been made so far."""
        with urllib.request.urlopen(f"{self.url}/requests") as answer:
            found = re.search(r"(\d+) (\d+) (\d+)", answer.read().decode())
        assert found is not None
        return int(found[3])

    def blobs(self) -> list[str]:
        """The names of the blobs."""
        return [line.split()[1] for line in (self.corpus / "SHA256SUMS").read_text().splitlines()]


def nginx() -> str | None:
    """Where nginx is: an ordinary user's path may lack sbin."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin:/usr/local/sbin")


@contextlib.contextmanager
def served(corpus: Path, run: Path) -> Iterator[Site]:
    """Serve a corpus; `run` is a folder for what servers need."""
    program = nginx()
    assert program is not None
    run.mkdir(parents=True, exist_ok=True)
    port, lists = _free_port(), _free_port()
    config = run / "nginx.conf"
    config.write_text(_CONFIG.format(run=run, port=port, lists=lists, corpus=corpus))
    commands = (
        [sys.executable, "-m", "tests.benchmarks.ledger", str(corpus), str(lists)],
        [program, "-p", str(run), "-c", str(config)],
    )
    processes = [subprocess.Popen(command) for command in commands]
    try:
        for number in (lists, port):
            _wait_for(number)
        yield Site(port, corpus)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")
