"""The server as it will run: primary, hot standby and pooler, in containers or on this machine."""
