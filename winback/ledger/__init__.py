"""The transactional store: contacts, consents, cycles, decisions and messages."""
