"""The table of services. Adding one is one module and one line here."""

from attachsync.sources import auco, datatrails, rkvst, sunshine, trinsic
from attachsync.sources.service import Service

SERVICES: dict[str, Service] = {
    service.name: service
    for service in (datatrails.SERVICE, rkvst.SERVICE, sunshine.SERVICE, auco.SERVICE, trinsic.SERVICE)
}
