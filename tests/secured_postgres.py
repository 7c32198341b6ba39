"""Debian's PostgreSQL as operators run it: by TCP with TLS and a password, and by a socket; certificates are ours."""

import datetime as dt
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import pg15
from integrations.runtime import postgres

USER, PASSWORD, DATABASE = "operator", "p@ss:/w#rd%?", "pobratym"
QUOTED = "p%40ss%3A%2Fw%23rd%25%3F"
KEY_PASSWORD = "unlock"
ACCESS = f"""\
local all postgres trust
local all {USER} scram-sha-256
hostssl all certified 127.0.0.1/32 cert
host all {USER} 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class Secured:
    """A server that runs, and the files that its users have."""

    port: int
    folder: Path  # of its socket, and of the certificates: ca.pem, other.pem, client.pem, client.key, locked.key

    def address(self, query: str = "", host: str = "", user: str = f"{USER}:{QUOTED}") -> str:
        """Give an address by TCP."""
        return f"postgresql://{user}@{host or f'localhost:{self.port}'}/{DATABASE}{query and '?' + query}"


@contextmanager
def running() -> Iterator[Secured]:
    """Have a server, gone with everything in it afterwards."""
    installation = postgres.Installation(Path("/usr/lib/postgresql/15/bin"), "postgres" if os.geteuid() == 0 else None)
    folder = Path(tempfile.mkdtemp(prefix="tls-"))
    folder.chmod(0o755)
    postgres.give(folder, installation.user)
    port = free_port()
    cluster = folder / "data"
    try:
        _write_certificates(folder)
        for name in ("server.pem", "server.key"):
            postgres.give(folder / name, installation.user)
        postgres.initialise(installation, cluster, locale=("--locale=C.UTF-8",))
        access = folder / "pg_hba.conf"
        access.write_text(ACCESS)
        access.chmod(0o644)
        settings = {
            "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "hba_file": access,
            "ssl": "on", "ssl_cert_file": folder / "server.pem", "ssl_key_file": folder / "server.key",
            "ssl_ca_file": folder / "ca.pem", "fsync": "off", "timezone": "UTC",
        }  # fmt: skip
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = str(cluster / "server.log")
        process = installation.run("pg_ctl", "-D", str(cluster), "-l", log, "-o", options, "-w", "start")
        assert process.returncode == 0, process.stdout + Path(log).read_text()
        try:
            for sql in (
                f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'",
                "CREATE ROLE certified LOGIN",
                f"CREATE DATABASE {DATABASE} OWNER {USER}",
            ):
                told = installation.run("psql", "-h", str(folder), "-p", str(port), "-U", "postgres", "-c", sql)
                assert told.returncode == 0, told.stdout
            yield Secured(port, folder)
        finally:
            postgres.stop(installation, cluster)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_there() -> bool:
    return pg15.is_there()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _write_certificates(folder: Path) -> None:
    key, authority = _key(), _key()
    _write(folder / "ca.pem", _certificate("authority", authority, authority, "authority", is_authority=True))
    _write(folder / "other.pem", _certificate("other", key, key, "other", is_authority=True))
    server, client = _key(), _key()
    _write(folder / "server.pem", _certificate("localhost", server, authority, "authority"))
    _write_key(folder / "server.key", server)
    _write(folder / "client.pem", _certificate("certified", client, authority, "authority"))
    _write_key(folder / "client.key", client)
    _write_key(folder / "locked.key", client, KEY_PASSWORD)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    signer_name: str,
    *,
    is_authority: bool = False,
) -> x509.Certificate:
    """Give a certificate that is valid for a day around now: the system's clock, because TLS reads that."""
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, signer_name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey, password: str = "") -> None:
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption)
    )
    path.chmod(0o600)
