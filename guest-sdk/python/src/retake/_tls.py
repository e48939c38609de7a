"""The module `ssl` of a component, whose interpreter has none.

Libraries import it whether or not they are used. Contexts can be made; whoever wants to speak TLS is told that the
network is not granted.
"""

from __future__ import annotations

import collections
import enum
import os
from typing import Any

from retake._sandbox import denied as _denied

OPENSSL_VERSION = "OpenSSL 3.0.0, of which a sandbox has nothing"
OPENSSL_VERSION_NUMBER = _OPENSSL_API_VERSION = 0x30000000
OPENSSL_VERSION_INFO = (3, 0, 0, 0, 0)
HAS_SNI = HAS_ECDH = HAS_ALPN = HAS_TLSv1_2 = HAS_TLSv1_3 = HAS_NEVER_CHECK_COMMON_NAME = True
HAS_NPN = HAS_SSLv2 = HAS_SSLv3 = HAS_TLSv1 = HAS_TLSv1_1 = HAS_PSK = HAS_PHA = False
CHANNEL_BINDING_TYPES = ["tls-unique"]
PEM_HEADER, PEM_FOOTER = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class SSLError(OSError):
    """A failure of TLS."""

    library = reason = None


class SSLZeroReturnError(SSLError):
    """As in `ssl`."""


class SSLWantReadError(SSLError):
    """As in `ssl`."""


class SSLWantWriteError(SSLError):
    """As in `ssl`."""


class SSLSyscallError(SSLError):
    """As in `ssl`."""


class SSLEOFError(SSLError):
    """As in `ssl`."""


class SSLCertVerificationError(SSLError, ValueError):
    """As in `ssl`."""


CertificateError = SSLCertVerificationError
SSL_ERROR_SSL, SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE, SSL_ERROR_SYSCALL, SSL_ERROR_ZERO_RETURN, SSL_ERROR_EOF = (
    1,
    2,
    3,
    5,
    6,
    8,
)


class TLSVersion(enum.IntEnum):
    """As in `ssl`."""

    MINIMUM_SUPPORTED = -2
    SSLv3 = 768
    TLSv1 = 769
    TLSv1_1 = 770
    TLSv1_2 = 771
    TLSv1_3 = 772
    MAXIMUM_SUPPORTED = -1


class _SSLMethod(enum.IntEnum):
    PROTOCOL_TLS = 2
    PROTOCOL_SSLv23 = 2
    PROTOCOL_TLSv1 = 3
    PROTOCOL_TLSv1_1 = 4
    PROTOCOL_TLSv1_2 = 5
    PROTOCOL_TLS_CLIENT = 16
    PROTOCOL_TLS_SERVER = 17


class Options(enum.IntFlag):
    """As in `ssl`."""

    OP_ALL = 0x80000050
    OP_NO_SSLv2 = 0
    OP_NO_SSLv3 = 0x2000000
    OP_NO_TLSv1 = 0x4000000
    OP_NO_TLSv1_1 = 0x10000000
    OP_NO_TLSv1_2 = 0x8000000
    OP_NO_TLSv1_3 = 0x20000000
    OP_NO_COMPRESSION = 0x20000
    OP_NO_TICKET = 0x4000
    OP_NO_RENEGOTIATION = 0x40000000
    OP_IGNORE_UNEXPECTED_EOF = 0x80
    OP_LEGACY_SERVER_CONNECT = 4
    OP_CIPHER_SERVER_PREFERENCE = 0x400000
    OP_SINGLE_DH_USE = 0
    OP_SINGLE_ECDH_USE = 0


class VerifyMode(enum.IntEnum):
    """As in `ssl`."""

    CERT_NONE = 0
    CERT_OPTIONAL = 1
    CERT_REQUIRED = 2


class VerifyFlags(enum.IntFlag):
    """As in `ssl`."""

    VERIFY_DEFAULT = 0
    VERIFY_CRL_CHECK_LEAF = 4
    VERIFY_CRL_CHECK_CHAIN = 12
    VERIFY_X509_STRICT = 32
    VERIFY_X509_TRUSTED_FIRST = 0x8000
    VERIFY_ALLOW_PROXY_CERTS = 64
    VERIFY_X509_PARTIAL_CHAIN = 0x80000


class Purpose(enum.Enum):
    """As in `ssl`."""

    SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"


for _names in (_SSLMethod, Options, VerifyMode, VerifyFlags):
    globals().update(_names.__members__)

DefaultVerifyPaths = collections.namedtuple(
    "DefaultVerifyPaths", "cafile capath openssl_cafile_env openssl_cafile openssl_capath_env openssl_capath"
)


class SSLContext:
    """What is asked of a connection. There is none."""

    sslsocket_class = sslobject_class = None
    keylog_filename = sni_callback = None
    post_handshake_auth = False
    security_level = 2
    session_stats = cert_store_stats = lambda self: {}

    def __init__(self, protocol: Any = _SSLMethod.PROTOCOL_TLS, *_: Any) -> None:
        is_client = protocol == _SSLMethod.PROTOCOL_TLS_CLIENT
        self.protocol = protocol
        self.options = Options.OP_ALL | Options.OP_NO_SSLv3
        self.check_hostname = is_client
        self.verify_mode = VerifyMode.CERT_REQUIRED if is_client else VerifyMode.CERT_NONE
        self.verify_flags = VerifyFlags.VERIFY_X509_TRUSTED_FIRST
        self.minimum_version, self.maximum_version = TLSVersion.TLSv1_2, TLSVersion.MAXIMUM_SUPPORTED
        self.hostname_checks_common_name = False

    def _noted(self, *_: Any, **__: Any) -> None: ...

    load_cert_chain = load_default_certs = load_dh_params = load_verify_locations = set_alpn_protocols = set_ciphers = _noted
    set_default_verify_paths = set_ecdh_curve = set_npn_protocols = set_servername_callback = _noted

    def get_ca_certs(self, binary_form: bool = False) -> list[Any]:
        """None."""
        return []

    get_ciphers = get_ca_certs

    def wrap_socket(self, sock: Any = None, *_: Any, server_hostname: Any = None, **__: Any) -> Any:
        """Raises: the network is not granted."""
        raise _denied(server_hostname)

    def wrap_bio(
        self,
        incoming: Any = None,
        outgoing: Any = None,
        server_side: Any = False,
        server_hostname: Any = None,
        session: Any = None,
    ) -> Any:
        """Raises: the network is not granted."""
        raise _denied(server_hostname)


class SSLSocket:
    """One of a connection that there is not."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise _denied()


class SSLObject(SSLSocket):
    """As in `ssl`."""


class SSLSession(SSLSocket):
    """As in `ssl`."""


class MemoryBIO:
    """As in `ssl`, but nobody reads it."""

    pending, eof = 0, True

    def read(self, size: int = -1) -> bytes:
        """Nothing."""
        return b""

    def write(self, data: Any) -> int:
        """Takes it."""
        return len(data)

    def write_eof(self) -> None:
        """Nothing."""


def create_default_context(*_: Any, **__: Any) -> SSLContext:
    """Returns a context for clients."""
    return SSLContext(_SSLMethod.PROTOCOL_TLS_CLIENT)


def _create_unverified_context(*_: Any, **__: Any) -> SSLContext:
    return SSLContext()


_create_default_https_context = create_default_context
_create_stdlib_context = _create_unverified_context


def get_default_verify_paths() -> Any:
    """Returns none: a sandbox has no files."""
    return DefaultVerifyPaths(None, None, "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")


def get_server_certificate(addr: Any, *_: Any, **__: Any) -> str:
    """Raises: the network is not granted."""
    raise _denied(addr[0])


def get_protocol_name(protocol_code: Any) -> str:
    """Returns the name of a protocol."""
    return _SSLMethod(protocol_code).name.removeprefix("PROTOCOL_")


RAND_bytes = os.urandom


def RAND_status() -> bool:  # noqa: N802 - OpenSSL's name.
    """Randomness is the host's."""
    return True


def RAND_add(*_: Any) -> None:  # noqa: N802 - OpenSSL's name.
    """Randomness is the host's."""
