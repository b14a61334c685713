"""The errors that calls raise, without grpc's types."""

import re

import grpc

# What gRPC says of a connection that was never made, and what to do about it. gRPC's words are no interface: where they
# change, the advice is missing, and nothing else. Of a name with several addresses gRPC reports one, not always ours.
_ADVICE = (
    (
        r"WRONG_VERSION_NUMBER",
        "the server speaks plain text there, and this client TLS: leave out credentials (on the command line --tls and"
        " --tls-ca-file), or name the server's TLS port",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "no authority that this client trusts has signed the server's certificate: name the authority's file, with"
        " credentials=grpc.ssl_channel_credentials(root_certificates) or --tls-ca-file",
    ),
    (
        r"Hostname Verification Check failed",
        "the server's certificate is not of the name in the address: use a name that is in the certificate",
    ),
    (
        r"Trying to connect an http1\.x server",
        "that port speaks HTTP and no gRPC: gRPC has another port, by default 50051",
    ),
    (
        r"connections to all backends failing; .*(Socket closed|Connection reset|Broken pipe)",
        "the server ends every connection at once: if it needs TLS, give credentials=grpc.ssl_channel_credentials(...)"
        " (on the command line --tls or --tls-ca-file); if it needs a client's certificate, give that too",
    ),
)


class CallError(Exception):
    """A call failed, at the server or on the way to it.

    `code`: name of a gRPC status, "INVALID_ARGUMENT" or "UNAVAILABLE". `message`: what is wrong, in English.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ImageError(Exception):
    """One of many images has no prediction.

    `index`: its place in the source, from 0. `__cause__`: the reason, a CallError, OSError, ValueError or TypeError.
    """

    def __init__(self, index: int, cause: Exception) -> None:
        super().__init__(f"image {index}: {cause}")
        self.index = index
        self.__cause__ = cause


def call_error(error: Exception) -> CallError:
    """Translates whatever an RPC raised; a CallError stays the object that it is."""
    if isinstance(error, CallError):
        return error
    if isinstance(error, grpc.RpcError):
        details = error.details() or "no details"
        return CallError(error.code().name, details + _advice(details))
    return CallError("UNKNOWN", f"{type(error).__name__}: {error}")


def _advice(details: str) -> str:
    """Returns what to do about a connection that was never made; "" for any other failure."""
    return next((f" ({advice})" for pattern, advice in _ADVICE if re.search(pattern, details)), "")


def deadline_error() -> CallError:
    """Error of a call whose deadline passed while it waited for its RPC."""
    return CallError("DEADLINE_EXCEEDED", "the deadline of this call has passed")


def closed_error() -> CallError:
    """Error of every call that a closed client had or gets."""
    return CallError("CANCELLED", "the client is closed")
