"""Values of settings: how a text from a flag or a variable becomes one, and what is expected where it does not."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

UNIX = "unix:"  # before the path of a Unix socket, as in gRPC's addresses
ANY = "*"  # origin, host


def parse_boolean(text: str) -> bool:
    """Parses true or false, also written 1, yes, on and 0, no, off. Raises ValueError."""
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    try:
        return words[text.strip().lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def number(kind: type[int] | type[float], lowest: float, highest: float = float("inf")) -> Callable[[str], float]:
    """Makes a parser for numbers of `lowest` to `highest`, which raises ValueError with what was expected."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError("expected a whole number" if kind is int else "expected a number") from None
        if not lowest <= value <= highest:  # NaN fails, too
            raise ValueError(
                f"expected {lowest} or more" if highest == float("inf") else f"expected {lowest} to {highest}"
            )
        return value

    return parse


def choice(*allowed: str) -> Callable[[str], str]:
    """Makes a parser for one of the words `allowed`, which raises ValueError with what was expected."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return text

    return parse


def words(*allowed: str) -> Callable[[str], str]:
    """Makes a parser for one or more of the words `allowed`, by commas; it raises ValueError with what was expected."""

    def parse(text: str) -> str:
        given = [word.strip() for word in text.split(",")]
        if not set(given) <= set(allowed):
            raise ValueError(f"expected one or more of {', '.join(allowed)}, by commas")
        return ",".join(dict.fromkeys(given))

    return parse


def parse_plain_name(text: str) -> str:
    """Parses the plain name of a folder. Raises ValueError."""
    if text in ("", ".", "..") or Path(text).name != text:
        raise ValueError("expected the plain name of a folder, such as mnist")
    return text


def parse_label(text: str) -> str:
    """Parses the value of a label: up to 100 characters that can be printed. Raises ValueError."""
    if len(text) > 100 or not text.isprintable():
        raise ValueError("expected up to 100 characters that can be printed")
    return text


def parse_path(text: str) -> Path | None:
    """Parses a path; None for an empty text."""
    return Path(text) if text else None


def parse_host(text: str) -> str:
    """Parses a host: an IP address, IPv6 also in brackets, a name, or unix:PATH. Raises ValueError."""
    if text.startswith(UNIX):
        if path := text.removeprefix(UNIX).removeprefix("//"):  # gRPC's other form: unix:///path
            return UNIX + path
        raise ValueError("expected a path after unix:")
    host = text[1:-1] if re.fullmatch(r"\[.*:.*\]", text) else text
    if not (_is_ip_address(host) or re.fullmatch(r"[\w.-]+", host)):
        raise ValueError(
            "expected an address such as 127.0.0.1 or ::1, a name, or unix:PATH; ports have their own flags"
        )
    return host


def parse_published_host(text: str) -> str:
    """Parses an address or a name, or an empty text. Raises ValueError."""
    if text and not _is_host(text):
        raise ValueError("expected an address such as 127.0.0.1 or ::1, or a name")
    return parse_host(text) if text else ""


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def parse_address(text: str) -> str:
    """Parses HOST:PORT, or an empty text. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if text and not (_is_host(host) and port.isdecimal() and int(port) <= 65535):
        raise ValueError("expected HOST:PORT")
    return text


def parse_origins(text: str) -> str:
    """Parses origins by commas, `*`, or an empty text. Raises ValueError."""
    for origin in text.split(",") if text and text != ANY else ():
        parts = urlsplit(origin)
        if not (parts.scheme in ("http", "https") and parts.netloc) or origin != f"{parts.scheme}://{parts.netloc}":
            raise ValueError("expected SCHEME://HOST[:PORT], more by commas, or *")
    return text


def parse_host_names(text: str) -> str:
    """Parses names by commas, `*`, or an empty text, to lower case. Raises ValueError."""
    if text and text != ANY and not all(re.fullmatch(r"[\w.-]+", name, re.ASCII) for name in text.split(",")):
        raise ValueError("expected names without ports, by commas, or *")
    return text.lower()


def _is_host(text: str) -> bool:
    try:
        return not is_unix(parse_host(text))
    except ValueError:
        return False


parse_port = number(int, 0, 65535)


def is_loopback(host: str) -> bool:
    """Returns True when only this machine can reach what listens on `host`."""
    return is_unix(host) or (ip_address(host).is_loopback if _is_ip_address(host) else host == "localhost")


def is_unix(host: str) -> bool:
    """Returns True for the path of a Unix socket, `unix:PATH`."""
    return host.startswith(UNIX)
