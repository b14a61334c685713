"""Commands other than serving: keys, versions, tune; and the samples shown at the start."""
