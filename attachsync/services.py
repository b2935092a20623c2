"""The table of services. Adding one is one module of `sources`, and its name here."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from attachsync.sources.service import Service

_NAMES = ("datatrails", "rkvst", "sunshine", "auco", "trinsic")


class _Services(Mapping[str, Service]):
    """Each is loaded when it is first looked at: most configs name one or two."""

    def __getitem__(self, name: str) -> Service:
        if name not in _NAMES:
            raise KeyError(name)
        service: Service = import_module(f"attachsync.sources.{name}").SERVICE
        return service

    def __contains__(self, name: object) -> bool:
        return name in _NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


SERVICES: Mapping[str, Service] = _Services()
