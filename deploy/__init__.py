"""Starts and stops the programs of one machine; knows commands, no libraries (docs/adr/0001-the-house.md)."""
