"""RKVST: DataTrails under its earlier name. Same API, another host (specs/datatrails.md 4)."""

import dataclasses

from attachsync.sources import datatrails

SERVICE = dataclasses.replace(datatrails.SERVICE, name="rkvst", base_url="https://app.rkvst.io")
