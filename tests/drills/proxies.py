"""Real proxies before a server: nginx and Caddy, compressing, with the path of `BASE_URL` passed on or stripped."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

import postoffice
from drills.site import free_port

PATH = "/pobratym"
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin"
_NGINX = """
{user}daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; default_type text/plain;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  gzip on; gzip_proxied any; gzip_vary on; gzip_min_length 1;
  gzip_types application/json application/problem+json text/css text/javascript image/svg+xml;
  upstream pobratym {{ server 127.0.0.1:{server}; }}
  proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Accept-Encoding "";
  server {{ listen 127.0.0.1:{passing}; location {path}/ {{ proxy_pass http://pobratym; }} }}
  server {{ listen 127.0.0.1:{stripping}; location {path}/ {{ proxy_pass http://pobratym/; }} }}
}}
"""
_CADDY = """
{{
	admin off
	auto_https off
}}
http://127.0.0.1:{passing} {{
	encode {{
		gzip
		minimum_length 1
	}}
	reverse_proxy 127.0.0.1:{server}
}}
http://127.0.0.1:{stripping} {{
	encode {{
		gzip
		minimum_length 1
	}}
	handle_path {path}/* {{
		reverse_proxy 127.0.0.1:{server}
	}}
}}
"""


@dataclass(frozen=True)
class Proxy:
    """Where a proxy listens that passes the path on, and where one that strips it."""

    passing: str
    stripping: str


def program(name: str) -> str | None:
    """Find nginx or Caddy."""
    return shutil.which(name, path=SEARCHED)


@contextlib.contextmanager
def running(name: str, folder: Path, server: int) -> Iterator[Proxy]:
    """Have the proxy before the server of this port until the block ends."""
    passing, stripping = free_port(), free_port()
    user = "user root; " if os.geteuid() == 0 else ""
    values = {"folder": folder, "server": server, "passing": passing, "stripping": stripping, "path": PATH}
    config = folder / f"{name}.conf"
    config.write_text((_NGINX if name == "nginx" else _CADDY).format(user=user, **values))
    found = program(name) or name
    command = (
        [found, "-c", str(config)]
        if name == "nginx"
        else [found, "run", "--adapter", "caddyfile", "--config", str(config)]
    )
    told = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    process = subprocess.Popen(command, env=told, stderr=subprocess.DEVNULL)
    try:
        yield Proxy(f"http://127.0.0.1:{passing}{PATH}", f"http://127.0.0.1:{stripping}{PATH}")
    finally:
        process.terminate()
        process.wait(20)


async def until_it_answers(address: str) -> None:
    """Wait until the server answers through the proxy."""

    async def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{address}/health/ready")).status_code == httpx.codes.OK
        return False

    await asyncio.wait_for(postoffice.until(answers), 120)
