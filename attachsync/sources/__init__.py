"""One module or package a service: how its attachments are listed and read, and how files are sent to it."""
