"""winback finds customers who have gone quiet and asks them back, politely.

The layers, outermost first (linted, see ``pyproject.toml``)::

    flows > tasks > winback.cli > winback.web | winback.sample > winback.night
      > winback.activity | winback.ledger | winback.sources | winback.channels | winback.reports
      > winback.core | winback.settings > winback.configuration > winback.documents > winback.errors
"""

__version__ = "0.1.0"
