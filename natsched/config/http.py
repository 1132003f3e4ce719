"""What a replica serves over HTTP: where, and who may ask."""

from ipaddress import ip_address
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from natsched.config.fields import Count, ExistingFile, Secret, Section, Text


class HttpTls(Section):
    """HTTPS, where `cert` and `key` are set; with `ca` only for clients that show a certificate of it."""

    cert: ExistingFile | None = None
    key: ExistingFile | None = None
    ca: ExistingFile | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if (self.cert is None) != (self.key is None):
            given, absent = ("cert", "key") if self.key is None else ("key", "cert")
            raise PydanticCustomError("together", f"{given} is set without {absent}: set both", {"fields": (given,)})
        if self.ca is not None and self.cert is None:
            raise PydanticCustomError("together", "ca is set without cert: set both, and key", {"fields": ("ca",)})
        return self


class Http(Section):
    """The HTTP server of a replica."""

    enabled: bool = True
    address: Text = "127.0.0.1"
    port: Annotated[Count, Field(ge=0, le=65535)] = 7477
    token: Secret | None = None
    tls: HttpTls = HttpTls()

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.address).is_loopback
        except ValueError:
            return self.address == "localhost"

    @model_validator(mode="after")
    def _check_guarded(self) -> Self:
        if self.enabled and not self.is_local and self.token is None and self.tls.ca is None:
            raise PydanticCustomError(
                "unguarded",
                "address can be reached from other machines, so anybody there could write jobs: set token (best as "
                'NATSCHED_HTTP__TOKEN) or all of [http.tls] cert, key and ca, or take "127.0.0.1"',
                {"fields": ("address",)},
            )
        return self
