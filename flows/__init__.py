"""The moments of the day: order, schedule, parameters. No logic."""
