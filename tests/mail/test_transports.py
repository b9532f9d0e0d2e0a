"""Transports: TLS that cannot be stripped, a login only inside it, and files in development."""

import os
import ssl
import subprocess
import sys
from datetime import timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app.base.clock import Clock
from app.config.settings import Settings, SettingsInvalid
from app.config.smtp_url import SmtpAddress
from app.mail.transports import Smtp, describe_error, is_permanent
from tests.house.source import ROOT
from tests.postbox import Postbox, open_postbox
from tests.random_keys import production_environment


def certificate(folder: Path) -> Path:
    """Create a self-signed certificate of 127.0.0.1 with its key in one file."""
    key, now = generate_private_key(SECP256R1()), Clock().now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    result = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(result.public_bytes(Encoding.PEM) + private)
    return path


@pytest.fixture
def server_side(tmp_path: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate(tmp_path))
    return context


def message() -> EmailMessage:
    result = EmailMessage()
    result["From"], result["To"], result["Subject"] = "a@example.com", "b@example.com", "S"
    result.set_content("x")
    return result


def address(postbox: Postbox, credentials: str = "", query: str = "") -> SmtpAddress:
    return SmtpAddress.parse(f"smtp://{credentials}127.0.0.1:{postbox.port}{query}")


async def test_starttls_and_a_login(server_side: ssl.SSLContext, tmp_path: Path) -> None:
    async with open_postbox(server_side) as postbox:
        trusting = ssl.create_default_context(cafile=str(tmp_path / "server.pem"))
        await Smtp(address(postbox, "robot%40x:p%3Aw@"), "x.test", trusting)(message())
        assert postbox.logins == [(b"robot@x", b"p:w")]
        assert len(postbox.received) == 1


async def test_an_untrusted_certificate_is_refused_before_the_login(server_side: ssl.SSLContext) -> None:
    async with open_postbox(server_side) as postbox:
        with pytest.raises(Exception) as caught:  # noqa: PT011  whatever it is, it is put off
            await Smtp(address(postbox, "robot:pw@"), "x.test")(message())
        assert not is_permanent(caught.value)
        assert (postbox.logins, postbox.received) == ([], [])


async def test_a_server_without_starttls_gets_nothing() -> None:
    """Otherwise a man in the middle could remove STARTTLS from the server's response."""
    async with open_postbox() as postbox:
        with pytest.raises(Exception) as caught:  # noqa: PT011  see above
            await Smtp(address(postbox), "x.test")(message())
        assert describe_error(caught.value) == "SMTPException"
        assert postbox.received == []


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "http://hunter2@host",
        "smtp://",
        "smtp://host:hunter2",
        "smtp://u:hunter2@host?tls=off",
        "smtps://host?tls=off",
        "smtp://host/hunter2",
        "smtp://host?hunter2=1",
    ],
)
def test_a_bad_address_is_named_and_never_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_SMTP_URL": url, "LICENTIA_MAIL_FROM": "a@example.com"})
    ((name, sentence),) = caught.value.faults
    assert name == "LICENTIA_SMTP_URL"
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("url", "port", "tls", "starttls"),
    [
        ("smtp://host", 587, False, True),
        ("smtps://u:p@host", 465, True, False),
        ("smtp://host:25?tls=off", 25, False, False),
        ("smtp://[::1]:2525", 2525, False, True),
    ],
)
def test_a_mail_url_is_parsed(url: str, port: int, *, tls: bool, starttls: bool) -> None:
    result = SmtpAddress.parse(url)
    assert (result.port, result.tls, result.starttls) == (port, tls, starttls)


def test_the_password_of_the_mail_server_is_in_no_repr(tmp_path: Path) -> None:
    environ = {"LICENTIA_SMTP_URL": "smtp://u:hunter2@host", "LICENTIA_MAIL_FROM": "a@example.com", "LICENTIA_VAR": str(tmp_path)}
    settings = Settings.load(environ)
    assert "hunter2" not in repr([settings, settings.smtp_address(), Smtp(SmtpAddress.parse("smtp://u:hunter2@host"), "x")])


PRODUCTION = production_environment()


def faults(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.load(environ)
    return [name for name, _ in caught.value.faults]


def test_r53_registration_without_mail_is_refused_at_the_start() -> None:
    """The command line exits with 78 for every configuration fault."""
    assert faults({**PRODUCTION, "LICENTIA_REGISTRATION": "open"}) == ["LICENTIA_REGISTRATION"]
    mailer = {"LICENTIA_SMTP_URL": "smtp://host", "LICENTIA_MAIL_FROM": "a@example.com"}
    assert Settings.load({**PRODUCTION, **mailer, "LICENTIA_REGISTRATION": "open"}).mail_configured
    assert Settings.load(PRODUCTION).registration == "closed"


def test_r53_the_command_line_exits_with_78() -> None:
    environ = {**PRODUCTION, "LICENTIA_REGISTRATION": "open", "PATH": os.environ["PATH"]}  # noqa: TID251  for a child
    done = subprocess.run([sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.partition(":")[0]) == (78, "LICENTIA_REGISTRATION")


def test_sending_mail_requires_a_sender() -> None:
    assert faults({**PRODUCTION, "LICENTIA_SMTP_URL": "smtp://host"}) == ["LICENTIA_MAIL_FROM"]


def test_development_has_a_folder_for_mail(tmp_path: Path) -> None:
    assert Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_REGISTRATION": "open"}).mail_configured
