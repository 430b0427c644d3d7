"""Faults planted in the code that sends, gates and suppresses: the tests named for each of them have to fail."""
