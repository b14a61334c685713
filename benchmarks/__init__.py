"""What measures speed: our server beside others, under the same load, in one run."""
