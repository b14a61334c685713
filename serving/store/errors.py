"""What can go wrong with the store, in the words of its metric and its log line."""


class StoreError(Exception):
    """Store that cannot be used now. `reason`: one of FAILURES, the label in metrics."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


FULL, DAMAGED, BUSY, UNUSABLE = "full", "damaged", "busy", "unusable"
FAILURES = (FULL, DAMAGED, BUSY, UNUSABLE)
