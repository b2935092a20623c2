"""attachsync: attachments of other people's services on your own disk, provably intact."""

__version__ = "0.1.0"
