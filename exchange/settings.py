"""The settings of the exchange: environment variables HIE_*, one field each; `python -m exchange.settings` prints them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

DEMO_REGION = Path(__file__).parent / "demo" / "region.toml"
KB, MB = 1024, 1024 * 1024
POLICIES = ("permit-treatment", "permit-except-sensitive", "break-glass-only", "deny")


class SettingError(ValueError):
    """A setting has a value that cannot be; the text names the variable and says what it takes."""


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError("the path of a file that exists")
    return path


def _count(least: int, most: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return count


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def choose(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return choose


def _starting(*starts: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not text.startswith(starts):
            raise ValueError(f"a URL starting {' or '.join(starts)}")
        return text.rstrip("/")

    return check


def _gigabytes(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0.25 <= size <= 10_000:  # the bounds of mongod
        raise ValueError("a number of GB from 0.25 to 10000")
    return size


def _setting(default: Any, parse: Callable[[str], Any], doc: str) -> Any:
    return field(default=default, metadata={"parse": parse, "doc": doc})


_port = _count(0, 65535)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the exchange can be told: `mllp_port` is HIE_MLLP_PORT, and so on; unset or empty means the default."""

    data: Path = _setting(Path("data"), Path, "folder of everything the exchange writes itself: keys, and MongoDB if embedded")
    mongodb_uri: str | None = _setting(
        None, _starting("mongodb://", "mongodb+srv://"), "replica set to use; unset: an embedded MongoDB in the data folder"
    )
    mongodb_cache_gb: float = _setting(1.0, _gigabytes, "cache of the embedded MongoDB, in GB")
    database: str = _setting("hie", str, "name of the database")
    host: str = _setting("127.0.0.1", str, "address that HTTP listens on")
    port: int = _setting(8080, _port, "port that HTTP listens on; 0 picks a free one")
    workers: int = _setting(1, _count(1, 64), "processes that serve HTTP and MLLP")
    base_url: str | None = _setting(
        None, _starting("http://", "https://"), "the FHIR base URL as clients see it; unset: http://HOST:PORT/fhir"
    )
    cors_origins: str = _setting(
        "*", str, "web origins whose pages may call FHIR, commas between (they need a token all the same); *: any"
    )
    max_body: int = _setting(
        32 * MB,
        _count(1 * MB, 1024 * MB),
        "largest HTTP request body, in bytes; of large ones a process works on so many bytes at once",
    )
    answer_seconds: int = _setting(60, _count(1, 3600), "after how many seconds a FHIR request is answered with 503")
    mllp_host: str = _setting("127.0.0.1", str, "address that MLLP (HL7 v2) listens on")
    mllp_port: int = _setting(2575, _port, "port that MLLP listens on; 0 picks a free one")
    mllp_max_message: int = _setting(16 * MB, _count(64 * KB, 256 * MB), "largest HL7 v2 message, in bytes")
    mllp_tls_cert: Path | None = _setting(None, _file, "certificate chain (PEM) of MLLP over TLS; unset: MLLP without TLS")
    mllp_tls_key: Path | None = _setting(None, _file, "private key (PEM) of that certificate")
    mllp_tls_ca: Path | None = _setting(None, _file, "authorities (PEM) of the client certificates that MLLP then requires")
    region: Path = _setting(DEMO_REGION, _file, "the region (TOML): its hospitals and its clients; unset: the demo region")
    default_policy: str = _setting("permit-except-sensitive", _one_of(POLICIES), "what holds for a person without a Consent")
    break_glass_minutes: int = _setting(240, _count(1, 7 * 24 * 60), "how long breaking the glass opens a record, in minutes")
    hold_minutes: int = _setting(15, _count(1, 24 * 60), "how long a held appointment keeps its time, in minutes")
    turn_urls: str | None = _setting(
        None, _starting("turn:", "turns:", "stun:"), "the region's TURN servers, commas between: turns:turn.example:5349"
    )
    turn_secret: str | None = _setting(None, str, "the secret shared with them (coturn: static-auth-secret)")
    wechat_url: str = _setting(
        "https://api.weixin.qq.com", _starting("https://", "http://127.0.0.1"), "where WeChat answers code2Session"
    )
    wechat_appid: str | None = _setting(None, str, "the mini-program's appid; unset: nobody can log in to the portal")
    wechat_secret_file: Path | None = _setting(
        None, _file, "a file with the mini-program's secret, in a place apart from the data"
    )
    token_lifetime: int = _setting(600, _count(30, 3600), "how long an access token is valid, in seconds")
    key_file: Path | None = _setting(
        None, _file, "the master key, in a place apart from the data; unset: made in the data folder"
    )


_TOGETHER = (
    ("mllp_tls_cert", "mllp_tls_key"),
    ("mllp_tls_key", "mllp_tls_cert"),
    ("mllp_tls_ca", "mllp_tls_cert"),
    ("turn_urls", "turn_secret"),
    ("turn_secret", "turn_urls"),
    ("wechat_appid", "wechat_secret_file"),
    ("wechat_secret_file", "wechat_appid"),
)


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of an environment, checked; a command line's come on top with `dataclasses.replace`."""
    settings = Settings(**{f.name: _parsed(f, environ[variable(f)]) for f in fields(Settings) if environ.get(variable(f))})
    for name, needed in _TOGETHER:
        if getattr(settings, name) and not getattr(settings, needed):
            raise SettingError(f"HIE_{name.upper()} needs HIE_{needed.upper()}: set both or neither")
    return settings


def variable(setting: Field[Any]) -> str:
    """The environment variable of a field of Settings."""
    return f"HIE_{setting.name.upper()}"


def table() -> str:
    """The settings as a Markdown table: variable, default, meaning."""
    rows = [f"| `{variable(f)}` | {_shown(f.default)} | {f.metadata['doc']} |" for f in fields(Settings)]
    return "\n".join(("| variable | default | meaning |", "|---|---|---|", *rows))


def _parsed(setting: Field[Any], text: str) -> Any:
    try:
        return setting.metadata["parse"](text)
    except ValueError as error:
        raise SettingError(f"{variable(setting)} must be {error}") from None


def _shown(default: Any) -> str:
    if default is None:
        return ""
    return "`exchange/demo/region.toml`" if default == DEMO_REGION else f"`{default}`"


if __name__ == "__main__":
    print(table())
