"""The training loop: batches, loss, state, checkpoints, run folders, progress."""
