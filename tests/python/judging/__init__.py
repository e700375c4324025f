"""The judge's parts: official SDKs read replies and check requests, and what they see is compared. See ../judge.py."""
