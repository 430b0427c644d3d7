"""What kills senders and then looks whether anybody was written to twice or forgotten; `./do bench kills` and tests."""
