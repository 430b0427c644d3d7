"""The use-cases, one file each. Transactions begin and end here."""
